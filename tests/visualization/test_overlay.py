import numpy as np
import pytest

from mmavs.structures.avss_classes import avss_palette
from mmavs.visualization.colours import FALSE_ALARM_COLOUR, HIT_COLOUR, MISSED_COLOUR, SOUNDING_COLOUR
from mmavs.visualization.overlay import colour_mask, dim, error_map, fit_mask, overlay, region_borders


def grey_frame(value=100, size=(4, 6)):
    return np.full((*size, 3), value, np.uint8)


def test_pixels_are_the_alpha_blend_computed_by_hand():
    frame = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    mask = np.zeros((5, 7), np.uint8)
    mask[1:3, 2:6] = 1
    result = overlay(frame, mask, (255, 106, 0), alpha=0.3)
    expected = np.rint(0.7 * frame.astype(np.float64) + 0.3 * np.array([255, 106, 0]))
    assert np.abs(result[mask == 1].astype(int) - expected[mask == 1]).max() <= 1
    assert (result[mask == 0] == frame[mask == 0]).all()


def test_single_values_by_hand():
    mask = np.zeros((4, 6), np.uint8)
    mask[2, 3] = 1
    result = overlay(grey_frame(100), mask, (200, 0, 50), alpha=0.25)
    assert result[2, 3].tolist() == [125, 75, 88]   # 0.75 * 100 + 0.25 * (200, 0, 50) = (125, 75, 87.5)
    assert result[0, 0].tolist() == [100, 100, 100]


@pytest.mark.parametrize(('alpha', 'expected'), [(0, 100), (1, 0)])
def test_alpha_limits(alpha, expected):
    result = overlay(grey_frame(), np.ones((4, 6), bool), (0, 0, 0), alpha=alpha)
    assert (result == expected).all()


def test_each_class_gets_its_palette_colour_and_no_label_is_not_drawn():
    mask = np.array([[0, 1, 70, 255]], np.uint8)
    result = overlay(grey_frame(9, (1, 4)), mask, avss_palette(71), alpha=1)
    assert result[0].tolist() == [[9, 9, 9], [128, 0, 0], [32, 128, 128], [9, 9, 9]]


def test_default_colours_are_one_colour_for_two_classes_and_the_palette_for_more():
    assert overlay(grey_frame(), np.ones((4, 6), np.uint8), alpha=1)[0, 0].tolist() == list(SOUNDING_COLOUR)
    assert overlay(grey_frame(), np.full((4, 6), 2, np.uint8), alpha=1)[0, 0].tolist() == [0, 128, 0]


def test_the_frame_given_is_not_changed():
    frame = grey_frame()
    overlay(frame, np.ones((4, 6), np.uint8), outline=1)
    assert (frame == 100).all()


def test_mask_of_another_size_is_enlarged_by_nearest_neighbour():
    result = overlay(grey_frame(0, (4, 4)), np.array([[1, 0], [0, 0]], np.uint8), (8, 8, 8), alpha=1)
    assert (result[..., 0] == np.kron([[8, 0], [0, 0]], np.ones((2, 2)))).all()


def test_outline_is_opaque_and_inside_the_region_only():
    mask = np.zeros((9, 9), np.uint8)
    mask[2:7, 2:7] = 1
    result = overlay(grey_frame(0, (9, 9)), mask, (200, 200, 200), alpha=0.5, outline=1, outline_colour=(1, 2, 3))
    border = (result == [1, 2, 3]).all(-1)
    assert border.sum() == 16                        # a 5 x 5 square has 16 border pixels
    assert (result[3:6, 3:6] == 100).all()
    assert (result[mask == 0] == 0).all()


def test_picture_edges_are_no_borders():
    assert not region_borders(np.ones((5, 5), np.uint8), 2).any()


def test_error_map_tells_hits_misses_false_alarms_and_wrong_classes():
    truth = np.array([[1, 1, 0, 2, 255, 0]], np.uint8)
    prediction = np.array([[1, 0, 1, 1, 1, 0]], np.uint8)
    result = error_map(grey_frame(100, (1, 6)), truth, prediction, alpha=1)[0].tolist()
    dark = [55, 55, 55]                              # 0.55 * 100
    assert result == [list(HIT_COLOUR), list(MISSED_COLOUR), list(FALSE_ALARM_COLOUR), list(FALSE_ALARM_COLOUR),
                      dark, dark]


def test_dim_by_hand():
    frame = np.array([[[200, 100, 0]]], np.uint8)
    grey = round(0.299 * 200 + 0.587 * 100)          # 119
    expected = [0.5 * (0.25 * value + 0.75 * grey) for value in (200, 100, 0)]
    assert np.abs(dim(frame, 0.5, 0.25)[0, 0] - np.array(expected)).max() <= 1


def test_colour_mask_is_black_class_colour_and_grey_without_label():
    result = colour_mask(np.array([[0, 2, 255]], np.uint8), avss_palette(5))
    assert result[0].tolist() == [[0, 0, 0], [0, 128, 0], [90, 90, 90]]


@pytest.mark.parametrize(('change', 'message'), [
    (dict(alpha=1.5), r'alpha=1\.5 must lie in 0\.\.1'),
    (dict(frame=np.zeros((4, 6), np.uint8)), r'frame has shape \(4, 6\)'),
    (dict(frame=np.zeros((4, 6, 3))), 'dtype float64'),
    (dict(mask=np.zeros((1, 4, 6), np.uint8)), r'mask has shape \(1, 4, 6\); expected one plane'),
    (dict(mask=np.zeros((4, 6))), 'mask has dtype float64; expected bool or class indices'),
    (dict(mask=np.full((4, 6), 7, np.uint8), palette=avss_palette(5)), 'mask holds class 7, but the palette has 5'),
    (dict(palette=np.zeros((2, 4))), r'palette has shape \(2, 4\)'),
])
def test_bad_input_is_named(change, message):
    arguments = dict(frame=grey_frame(), mask=np.zeros((4, 6), np.uint8)) | change
    with pytest.raises(ValueError, match=message):
        overlay(**arguments)


def test_fit_mask_keeps_values_and_rejects_numbers_beyond_a_byte():
    assert fit_mask(np.array([[True, False]]), (1, 2)).tolist() == [[1, 0]]
    with pytest.raises(ValueError, match='int64'):
        fit_mask(np.array([[300]]), (1, 1))
