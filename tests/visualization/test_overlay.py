import cv2
import numpy as np
import pytest

from mmavs.structures.avss_classes import avss_palette
from mmavs.visualization.colours import (
    DARK_LINE,
    FALSE_ALARM_COLOUR,
    HIT_COLOUR,
    LIGHT_LINE,
    MISSED_COLOUR,
    SOUNDING_COLOUR,
)
from mmavs.visualization.overlay import (
    colour_mask,
    dim,
    error_map,
    fit_mask,
    outline_regions,
    overlay,
    region_borders,
)


def grey_frame(value=100, size=(4, 6)):
    return np.full((*size, 3), value, np.uint8)


def slow_overlay(frame, mask, palette, alpha, outline):
    """The definition of ``overlay``, pixel by pixel; the blend is OpenCV's, whose rounding it does not define."""
    result = frame.copy()
    height, width = mask.shape
    for y in range(height):
        for x in range(width):
            label = mask[y, x]
            if label in (0, 255):
                continue
            label = 1 if len(palette) == 2 else label
            around = mask[max(0, y - outline):y + outline + 1, max(0, x - outline):x + outline + 1]
            around = np.where(around == 255, 0, around)
            around = np.minimum(around, 1) if len(palette) == 2 else around
            pixel = cv2.addWeighted(frame[y:y + 1, x:x + 1], 1 - alpha, palette[label].reshape(1, 1, 3), alpha, 0)[0, 0]
            result[y, x] = palette[label] if outline and (around != label).any() else pixel
    return result


@pytest.mark.parametrize('outline', [0, 1, 3])
@pytest.mark.parametrize('classes', [2, 71])
def test_the_fast_way_gives_the_pixels_of_the_definition(classes, outline):
    rng = np.random.default_rng(classes + outline)
    frame = rng.integers(0, 256, (48, 64, 3)).astype(np.uint8)
    # A palette of two colours is for every class above 0.
    labels = rng.choice([0, 0, 0, *range(1, max(classes, 5)), 255], (6, 8)).astype(np.uint8)
    mask = np.kron(labels, np.ones((8, 8), np.uint8))
    palette = rng.integers(0, 256, (classes, 3)).astype(np.uint8)
    for alpha in (0.3, 0.5, 0.77):
        assert np.array_equal(overlay(frame, mask, palette, alpha, outline),
                              slow_overlay(frame, mask, palette, alpha, outline))


def test_two_tone_outline_is_white_inside_and_dark_outside():
    mask = np.zeros((20, 24), np.uint8)
    mask[6:15, 5:16], mask[6:15, 10:16], mask[0, 0] = 1, 2, 255
    picture = grey_frame(100, mask.shape)
    outline_regions(picture, mask, width=2)
    inner = np.zeros_like(mask, bool)
    # The regions are 5 and 6 pixels wide, 9 high: without a line of 2 on every side, 1 x 5 and 2 x 5 are left.
    inner[8:13, 7:8] = inner[8:13, 12:14] = True
    outer = np.zeros_like(inner)
    outer[5:16, 4:17] = True
    expected = np.select([inner[..., None], (mask[..., None] % 255 > 0), outer[..., None]],
                         [[100] * 3, LIGHT_LINE, DARK_LINE], [100] * 3)
    assert np.array_equal(picture, expected)


def test_two_tone_outline_of_nothing_and_of_everything_changes_nothing():
    for mask in (np.zeros((6, 8), np.uint8), np.full((6, 8), 3, np.uint8), np.full((6, 8), 255, np.uint8)):
        picture = grey_frame(7, mask.shape)
        outline_regions(picture, mask, width=2)
        assert (picture == 7).all()
    with pytest.raises(ValueError, match=r'mask has shape \(3, 4\), the picture \(6, 8\)'):
        outline_regions(grey_frame(7, (6, 8)), np.zeros((3, 4), np.uint8), 1)


@pytest.mark.parametrize('ground', [(255, 190, 11), (255, 255, 255), (0, 0, 0), (0, 0, 255), (127, 127, 127)])
def test_a_region_is_seen_on_any_ground(ground):
    mask = np.zeros((40, 40), np.uint8)
    mask[10:30, 10:30] = 1
    frame = np.broadcast_to(np.array(ground, np.uint8), (40, 40, 3)).copy()
    picture = overlay(frame, mask)
    outline_regions(picture, mask, width=1)
    light = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(int)
    assert light[10, 20] - light[9, 20] > 200
    ground_light = int(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[0, 0])
    assert max(abs(light[10, 20] - ground_light), abs(light[9, 20] - ground_light)) > 100


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
    for values in ([[0, 300]], [[-1, 0]]):
        with pytest.raises(ValueError, match='int64'):
            fit_mask(np.array(values), (1, 2))
