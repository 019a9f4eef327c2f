import numpy as np
import pytest

from mmavs.visualization.colours import LOG_MEL_SILENCE, as_palette, colour_map, log_mel_images


def test_one_colour_becomes_a_palette_of_two():
    assert as_palette((1, 2, 3)).tolist() == [[0, 0, 0], [1, 2, 3]]
    assert as_palette(None, 71)[[0, 1, 70]].tolist() == [[0, 0, 0], [128, 0, 0], [32, 128, 128]]
    assert as_palette([(0, 0, 0), (5, 5, 5), (9, 9, 9)]).tolist()[2] == [9, 9, 9]


@pytest.mark.parametrize('shape', [(4, ), (2, 4), (2, 3, 3)])
def test_other_shapes_are_no_palette(shape):
    with pytest.raises(ValueError, match=r'palette has shape .*; give one RGB colour \(3,\) or one per class'):
        as_palette(np.zeros(shape))


def test_log_mel_has_time_to_the_right_and_low_frequencies_at_the_bottom():
    log_mel = np.full((2, 1, 96, 64), LOG_MEL_SILENCE, np.float32)
    log_mel[1, 0, 72:, :16] = 2.0     # last quarter of the second, lowest quarter of the bands
    silent, loud = log_mel_images(log_mel, (64, 96))
    table = colour_map('magma')
    assert (silent == table[0]).all()
    assert (loud[56, 90] == table[255]).all()
    assert (loud[:40] == table[0]).all()
    assert (loud[:, :64] == table[0]).all()


def test_log_mel_scale_is_shared_by_the_clip_and_by_hand():
    log_mel = np.full((2, 96, 64), LOG_MEL_SILENCE, np.float32)
    log_mel[0] = LOG_MEL_SILENCE + 2
    log_mel[1] = LOG_MEL_SILENCE + 8
    half, full = log_mel_images(log_mel, (8, 8))
    assert (full == colour_map('magma')[255]).all()
    assert (half == colour_map('magma')[64]).all()     # 2 / 8 * 255 = 63.75


def test_noise_floor_of_a_silent_clip_stays_dark():
    log_mel = np.full((1, 96, 64), LOG_MEL_SILENCE + 0.3, np.float32)
    assert (log_mel_images(log_mel, (4, 4))[0] == colour_map('magma')[26]).all()   # 0.3 / 3 * 255 = 25.5 -> 26


def test_log_mel_of_wrong_shape():
    with pytest.raises(ValueError, match=r'log_mel has shape \(5, 2, 96, 64\)'):
        log_mel_images(np.zeros((5, 2, 96, 64)), (8, 8))
