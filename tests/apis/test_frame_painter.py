from fractions import Fraction

import numpy as np
import pytest

from mmavs.apis.blending import InstantPrediction
from mmavs.apis.frame_painter import FramePainter
from mmavs.apis.labels import Labels
from mmavs.structures import AVSS_CLASSES, avss_palette
from mmavs.visualization import as_palette
from mmavs.visualization.name_plate import name_plate

BINARY = Labels(('background', 'sounding'), as_palette(None, 2))
CLASSES = Labels(AVSS_CLASSES, avss_palette(71))


def scored(seconds, *values):
    scores = np.array(values, np.float32).reshape(1, -1)
    return InstantPrediction(0, Fraction(seconds), (scores > 0.5).astype(np.uint8), scores)


def classed(seconds, *values):
    return InstantPrediction(0, Fraction(seconds), np.array(values, np.uint8).reshape(1, -1), None)


@pytest.mark.parametrize(('seconds', 'expected'), [
    (0, [1, 0]), (1, [1, 0]), (1.2, [1, 0]), (1.6, [0, 0]), (1.8, [0, 1]), (2, [0, 1]), (3, [0, 1])])
def test_scores_go_over_between_instants(seconds, expected):
    # Pixel 0 falls from 0.8 to 0.1 and crosses 0.5 at 1.43 s, pixel 1 rises from 0.1 to 0.7 and crosses it at 1.67 s.
    mask = FramePainter(BINARY).mask(Fraction(seconds), (1, 2), scored(1, 0.8, 0.1), scored(2, 0.1, 0.7))
    assert mask.tolist() == [expected]


@pytest.mark.parametrize(('seconds', 'expected'), [(1.4, [1, 0]), (1.6, [0, 1])])
def test_held_masks_change_in_the_middle(seconds, expected):
    painter = FramePainter(BINARY, between='hold')
    assert painter.mask(Fraction(seconds), (1, 2), scored(1, 0.8, 0.1), scored(2, 0.1, 0.7)).tolist() == [expected]
    painter = FramePainter(CLASSES)
    mask = painter.mask(Fraction(seconds), (1, 2), classed(1, 13, 0), classed(2, 0, 13))
    assert mask.tolist() == [[13 * value for value in expected]]


def test_behind_the_last_instant():
    mask = FramePainter(BINARY).mask(Fraction(9), (1, 2), scored(1, 0.8, 0.1), None)
    assert mask.tolist() == [[1, 0]]


def test_small_predictions_are_brought_to_the_frame():
    mask = FramePainter(BINARY).mask(Fraction(1), (2, 8), scored(1, 1, 0), None)
    assert mask.tolist() == [[1, 1, 1, 1, 0, 0, 0, 0]] * 2
    mask = FramePainter(CLASSES).mask(Fraction(1), (2, 4), classed(1, 13, 70), None)
    assert mask.tolist() == [[13, 13, 70, 70]] * 2


def test_the_threshold_is_the_model_s():
    painter = FramePainter(Labels(BINARY.classes, BINARY.palette, threshold=0.05))
    assert painter.mask(Fraction(1), (1, 2), scored(1, 0.8, 0.1), None).tolist() == [[1, 1]]


def test_binary_colour():
    frame, mask = np.full((40, 40, 3), 100, np.uint8), np.zeros((40, 40), np.uint8)
    mask[10:30, 10:30] = 1
    drawn = FramePainter(BINARY, alpha=0.5).paint(frame, mask)
    far = np.ones_like(mask, bool)
    far[9:31, 9:31] = False
    assert np.array_equal(drawn[far], frame[far])
    assert np.abs(drawn[20, 20].astype(int) - [178, 145, 56]).max() <= 1
    assert drawn[10, 20].tolist() == [255, 255, 255]
    assert drawn[9, 20].tolist() == [16, 16, 16]
    plain = FramePainter(BINARY, outline=False).paint(frame, mask)
    assert np.array_equal(plain[10, 20], plain[20, 20])


def test_classes_are_named_largest_first():
    frame, mask = np.full((240, 320, 3), 100, np.uint8), np.zeros((240, 320), np.uint8)
    mask[120:140, 100:120], mask[160:220, 100:200] = 17, 28
    drawn = FramePainter(CLASSES).paint(frame, mask)
    assert drawn[200, 150].tolist() == ((100 + avss_palette(71)[28].astype(int) + 1) // 2).tolist()
    colours = {tuple(avss_palette(71)[index]): index for index in (17, 28)}
    column = [colours.get(tuple(pixel)) for pixel in drawn[:60, 10]]
    assert [index for index in column if index] == sorted([index for index in column if index], reverse=True)
    assert {17, 28} <= set(column)
    nothing = FramePainter(CLASSES).paint(frame, np.zeros_like(mask))
    assert np.array_equal(nothing, frame)


@pytest.mark.parametrize(('size', 'line', 'letters'), [((224, 224), 1, 13), ((360, 640), 2, 13), ((1080, 1920), 6, 39)])
def test_lines_and_letters_grow_with_the_picture(size, line, letters):
    frame, mask = np.full((*size, 3), 100, np.uint8), np.zeros(size, np.uint8)
    mask[size[0] // 2:] = 64
    drawn = FramePainter(CLASSES).paint(frame, mask)
    white = (drawn[:, size[1] // 2] == 255).all(axis=1)
    assert white.sum() == line
    assert white[size[0] // 2:][:line].all()
    plate = name_plate('tuba', tuple(avss_palette(71)[64].tolist()), letters)
    assert np.array_equal(drawn[4:4 + plate.shape[0], 4:4 + plate.shape[1]], plate)


def test_names_fit_into_small_frames():
    mask = np.tile(np.arange(1, 71, dtype=np.uint8), (20, 1))
    assert FramePainter(CLASSES).paint(np.zeros((20, 70, 3), np.uint8), mask).shape == (20, 70, 3)


def test_unknown_choice():
    with pytest.raises(ValueError, match="between='fade' must be one of blend, hold"):
        FramePainter(BINARY, between='fade')
