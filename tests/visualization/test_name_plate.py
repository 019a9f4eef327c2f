import numpy as np
import pytest

from mmavs.visualization.name_plate import name_plate

DARK, LIGHT = [16, 16, 16], [255, 255, 255]


@pytest.mark.parametrize('size', [13, 24, 39])
def test_swatch_has_a_light_frame_and_letters_have_their_height(size):
    plate = name_plate('donkey', (64, 0, 0), size)
    height = plate.shape[0]
    assert height == round(1.4 * size)
    row = plate[height // 2].tolist()
    begin = row.index(LIGHT)
    swatch = row.index([64, 0, 0])
    assert row[:begin] == [DARK] * begin
    assert row[begin:swatch] == [LIGHT] * max(1, size // 12)
    end = len(row[:height]) - row[:height][::-1].index(LIGHT)
    assert end - begin == height - 2 * max(2, size // 5)
    letters = (plate[:, end + 1:] > 200).all(axis=2)
    rows = np.flatnonzero(letters.any(axis=1))
    # From the top of "d" to the bottom of "y": nearly the size of the font.
    assert 0.8 * size <= rows[-1] - rows[0] + 1 <= size + 1
    assert letters.any(axis=0).sum() > 2 * size


def test_plates_are_as_wide_as_their_names_and_cannot_be_changed():
    short, long = (name_plate(name, (1, 2, 3), 20) for name in ('cat', 'missile-rocket'))
    assert long.shape[1] > 2.5 * (short.shape[1] - 20)
    with pytest.raises(ValueError, match='read-only'):
        short[:] = 0
