from fractions import Fraction

import numpy as np
import pytest

from mmavs.apis.blending import Blender


def scores(*values):
    return np.array(values, np.float32).reshape(-1, 1, 1)


def times(*indices):
    return [Fraction(index) for index in indices]


def test_single_clip_passes_unchanged():
    blender = Blender(threshold=0.5)
    blender.add([0, 1], times(0, 1), scores(0.5, 0.51))
    first, second = blender.settle(2)
    assert (first.index, first.seconds, float(first.scores[0, 0]), int(first.mask[0, 0])) == (0, 0, 0.5, 0)
    assert second.scores[0, 0] == np.float32(0.51)
    assert second.mask[0, 0] == 1
    assert (second.mask.dtype, second.scores.dtype) == (np.uint8, np.float32)


def test_the_middle_of_a_clip_weighs_more():
    blender = Blender()
    blender.add([0, 1, 2, 3, 4], times(0, 1, 2, 3, 4), scores(0, 0, 0, 0, 0))
    blender.add([2, 3, 4, 5, 6], times(2, 3, 4, 5, 6), scores(1, 1, 1, 1, 1))
    blended = list(blender.settle(7))
    # Weights 3, 2, 1 against 1, 2, 3.
    assert [pred.scores.item() for pred in blended] == pytest.approx([0, 0, 1 / 4, 1 / 2, 3 / 4, 1, 1])
    assert [pred.mask.item() for pred in blended] == [0, 0, 0, 0, 1, 1, 1]


def test_only_settled_instants_come_out_once():
    blender = Blender()
    blender.add([0, 1, 2], times(0, 1, 2), scores(1, 1, 1))
    assert [pred.index for pred in blender.settle(1)] == [0]
    assert list(blender.settle(1)) == []
    # A clip that begins before what is settled does not bring it back.
    blender.add([0, 1, 2], times(0, 1, 2), scores(0, 0, 0))
    assert [(pred.index, float(pred.scores[0, 0])) for pred in blender.settle(3)] == [(1, 0.5), (2, 0.5)]


def test_phases_come_out_in_order_of_time():
    blender = Blender()
    blender.add([0, 2], times(0, 2), scores(1, 1))
    assert list(blender.settle(0)) == []
    blender.add([1, 3], times(1, 3), scores(1, 1))
    assert [pred.index for pred in blender.settle(4)] == [0, 1, 2, 3]


def test_classes_are_voted_on():
    blender = Blender()
    for offset, label in ((0, 5), (1, 7), (2, 9)):
        blender.add(range(offset, offset + 3), times(*range(offset, offset + 3)), np.full((3, 1, 2), label, np.uint8))
    # Instant 2 is the last of clip 0, the middle of clip 1 and the first of clip 2.
    predictions = list(blender.settle(5))
    assert [int(pred.mask[0, 0]) for pred in predictions] == [5, 5, 7, 9, 9]
    assert all(pred.scores is None and pred.mask.dtype == np.uint8 for pred in predictions)


def test_agreement_of_the_weaker_wins():
    blender = Blender()
    blender.add([0, 1, 2], times(0, 1, 2), np.full((3, 1, 1), 3, np.uint8))
    blender.add([0, 1, 2], times(0, 1, 2), np.full((3, 1, 1), 4, np.uint8))
    blender.add([1, 2], times(1, 2), np.full((2, 1, 1), 4, np.uint8))
    assert [int(pred.mask[0, 0]) for pred in blender.settle(3)] == [3, 4, 4]
