import numpy as np
import pytest

from mmavs.visualization import class_legend, highlight, highlight_small
from mmavs.visualization.colours import IGNORE_INDEX, SOUNDING_COLOUR


@pytest.mark.parametrize('colour', [SOUNDING_COLOUR, (0, 255, 0), (255, 255, 255), (0, 0, 0)])
def test_a_mask_is_told_apart_on_any_colour(colour):
    frame = np.full((20, 20, 3), colour, np.uint8)
    mask = np.zeros((20, 20), np.uint8)
    mask[5:15, 5:15] = 1
    picture = highlight(frame, mask).astype(int)
    grey = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    assert picture[0, 0] == pytest.approx(0.6 * (0.35 * np.array(colour) + 0.65 * grey), abs=2)
    base = 0.15 * np.array(colour) + 0.85 * grey
    assert picture[10, 10] == pytest.approx(0.4 * base + 0.6 * np.array(SOUNDING_COLOUR), abs=2)
    assert (picture[5:7, 5:15] == 255).all()
    assert (picture[7, 7:13] != 255).any()


def test_pixels_without_a_label_are_dimmed_only():
    frame = np.full((4, 4, 3), 100, np.uint8)
    assert (highlight(frame, np.full((4, 4), IGNORE_INDEX)) == 60).all()


def test_small_pictures_are_shrunk_from_twice_the_size():
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (48, 64, 3)).astype(np.uint8)
    mask = np.zeros((48, 64), np.uint8)
    mask[:, 32:] = 1
    picture = highlight_small(frame, mask, (24, 32))
    expected = highlight(frame, mask).reshape(24, 2, 32, 2, 3).mean((1, 3))
    assert picture.shape == (24, 32, 3)
    assert picture == pytest.approx(expected, abs=1)


def test_legend_names_what_occurs_in_the_order_of_the_classes():
    masks = [np.array([[0, 3]]), np.array([[1], [IGNORE_INDEX], [9]])]
    palette = [(0, 0, 0), (1, 1, 1), (2, 2, 2), (3, 3, 3)]
    legend = class_legend(masks, ['background', 'dog', 'cat', 'bird'], palette)
    assert [(tuple(colour), name) for colour, name in legend] == [((1, 1, 1), 'dog'), ((3, 3, 3), 'bird')]
