import cv2
import numpy as np
import pytest

from mmavs.datasets.sounding_shapes import KIND_CLASSES, KINDS
from mmavs.datasets.sounding_shapes.kinds import draw_shape, outline
from mmavs.structures import AVSS_CLASSES

# Share of the unit disc that a kind covers, from its formula.
AREAS = {
    'circle': 1.0,
    'square': 2 * 1.2**2 / np.pi,
    'triangle': 3 * np.sqrt(3) / 4 * 1.2**2 / np.pi,
    'star': 5 * 1.2 * 0.5 * np.sin(np.pi / 5) / np.pi,
    'cross': (8 * 0.36 - 4 * 0.36**2) / np.pi,
    'ring': 1 - 0.55**2,
    'heart': 180 / 15**2,
}


def test_at_least_eight_kinds_each_with_its_own_class():
    assert len(KINDS) >= 8
    assert len(set(KIND_CLASSES.values())) == len(KINDS)
    assert set(KIND_CLASSES.values()) <= set(AVSS_CLASSES[1:])


@pytest.mark.parametrize('kind', AREAS)
def test_areas(kind):
    coverage = draw_shape(kind, (256, 256), 190, 0.0, (512, 512))
    area = (coverage >= 128).sum() / (np.pi * 190**2)
    # cv2's antialiased polygons are about half a pixel wider than their outline.
    assert area == pytest.approx(AREAS[kind], rel=0.04)


@pytest.mark.parametrize('kind', KINDS)
def test_the_centre_moves_and_the_radius_scales(kind):
    base = draw_shape(kind, (64, 64), 20, 0.0, (128, 128)) >= 128
    moved = draw_shape(kind, (74, 59), 20, 0.0, (128, 128)) >= 128
    assert np.array_equal(np.roll(base, (-5, 10), axis=(0, 1)), moved)
    double = draw_shape(kind, (64, 64), 40, 0.0, (128, 128)) >= 128
    assert double.sum() == pytest.approx(4 * base.sum(), rel=0.08)


def test_angles_turn_clockwise():
    upright = draw_shape('triangle', (64, 64), 40, 0.0, (128, 128)) >= 128
    turned = draw_shape('triangle', (64, 64), 40, np.pi / 2, (128, 128)) >= 128
    # The upright one points up; after a quarter turn clockwise it points right.
    assert np.argwhere(upright)[0].tolist() == pytest.approx([64 - 48, 64], abs=1)
    assert np.argwhere(turned)[:, 1].max() == pytest.approx(64 + 48, abs=1)
    assert np.argwhere(turned)[:, 1].min() == pytest.approx(64 - 24, abs=1)


def test_the_ring_has_a_hole_and_the_crescent_opens_to_the_right():
    assert draw_shape('ring', (64, 64), 40, 0.0, (128, 128))[64, 64] == 0
    crescent = draw_shape('crescent', (64, 64), 40, 0.0, (128, 128))
    assert crescent[64, 64 - 30] == 255
    assert crescent[64, 64 + 20] == 0


@pytest.mark.parametrize('size', [96, 224])
def test_kinds_differ_even_when_small(size):
    radius = 0.13 * size
    masks = [draw_shape(kind, (size / 2, size / 2), radius, 0.0, (size, size)) >= 128 for kind in KINDS]
    for i, first in enumerate(masks):
        for second in masks[:i]:
            assert (first & second).sum() / (first | second).sum() < 0.85


def test_edges_are_antialiased_and_parts_outside_are_cut():
    coverage = draw_shape('circle', (0, 0), 20, 0.0, (64, 64))
    assert ((coverage > 0) & (coverage < 255)).sum() > 10
    assert (coverage >= 128).sum() == pytest.approx(np.pi * 20.5**2 / 4, rel=0.06)


@pytest.mark.parametrize('kind', KINDS)
def test_outlines_are_closed_simple_and_of_about_unit_radius(kind):
    outer = outline(kind)[0]
    assert 0.9 <= np.linalg.norm(outer, axis=1).max() <= 1.35
    assert cv2.contourArea(outer.astype(np.float32)) > 0.9
    assert np.abs(outer.mean(axis=0)).max() < 0.45


def test_an_unknown_kind():
    with pytest.raises(ValueError, match=r"Unknown kind of shape 'blob'; the kinds are \['circle'"):
        outline('blob')
