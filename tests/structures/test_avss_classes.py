import numpy as np
import pytest

from mmavs.structures import AVSS_CLASSES, avss_palette


def slow_palette(num_classes: int) -> list[tuple[int, int, int]]:
    """PASCAL VOC's recipe, spelled out bit by bit."""
    colours = []
    for index in range(num_classes):
        red = green = blue = 0
        rest, shift = index, 7
        while rest:
            red |= (rest & 1) << shift
            green |= (rest >> 1 & 1) << shift
            blue |= (rest >> 2 & 1) << shift
            rest, shift = rest >> 3, shift - 1
        colours.append((red, green, blue))
    return colours


def test_71_different_names_in_alphabetical_order_after_the_background():
    assert len(AVSS_CLASSES) == len(set(AVSS_CLASSES)) == 71
    assert AVSS_CLASSES[0] == 'background'
    assert list(AVSS_CLASSES[1:]) == sorted(AVSS_CLASSES[1:])


@pytest.mark.parametrize('num_classes', [1, 71, 256])
def test_palette_equals_the_slow_recipe(num_classes):
    palette = avss_palette(num_classes)
    assert palette.dtype == np.uint8
    assert [tuple(colour) for colour in palette.tolist()] == slow_palette(num_classes)


def test_palette_values_that_are_published():
    assert avss_palette()[1].tolist() == [128, 0, 0]
    assert avss_palette()[70].tolist() == [32, 128, 128]
    assert len({tuple(colour) for colour in avss_palette().tolist()}) == 71


def test_palette_is_shared_and_cannot_be_changed():
    with pytest.raises(ValueError, match='read-only'):
        avss_palette()[0] = 1


@pytest.mark.parametrize('num_classes', [0, 257])
def test_palette_refuses_other_sizes(num_classes):
    with pytest.raises(ValueError, match=f'1..256, got {num_classes}'):
        avss_palette(num_classes)
