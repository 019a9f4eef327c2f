import numpy as np
import pytest

from mmavs.apis.audio_reader import AudioReader
from mmavs.apis.media_file import NoSoundError
from mmavs.apis.sounds import SILENCE_RATE, SampledSound, check_audio, open_sound, to_mono


def test_sampled_sound_reads_like_a_file():
    sound = SampledSound(np.arange(20, dtype=np.float32), rate=10)
    assert np.array_equal(sound.read(0.5, 1.5), np.arange(5, 15))
    assert np.array_equal(sound.read(1.5, 3), [15, 16, 17, 18, 19, *[0] * 10])
    assert np.array_equal(sound.read(-0.3, 0.5), [3, 2, 1, 0, 1, 2, 3, 4])
    assert not sound.read(5, 6).any()
    sound.close()


def test_open_sound_of_a_film(film):
    sound = open_sound(film, history=3, audio='require')
    assert isinstance(sound, AudioReader)
    assert len(sound.read(0, 1)) == sound.rate == 16000


def test_film_without_sound(silent_film):
    with pytest.raises(NoSoundError, match=r"mute\.mp4 has no audio stream; pass audio='silence'"):
        open_sound(silent_film, history=3, audio='require')
    sound = open_sound(silent_film, history=3, audio='silence')
    assert sound.rate == SILENCE_RATE
    assert np.array_equal(sound.read(0, 2), np.zeros(32000))


def test_choices():
    assert check_audio('silence') == 'silence'
    with pytest.raises(ValueError, match="audio='none' must be one of require, silence"):
        check_audio('none')


def test_mean_of_the_channels():
    assert np.array_equal(to_mono(np.array([[0.0, 1.0], [0.5, 0.5]]), 16000, 'x'), np.float32([0.5, 0.5]))
    assert np.array_equal(to_mono(np.arange(128.0).reshape(2, 64), 16000, 'x'), np.float32([31.5, 95.5]))
    assert to_mono(np.zeros(3, np.float64), 8000, 'x').dtype == np.float32


@pytest.mark.parametrize(('waveform', 'rate', 'error', 'message'), [
    (np.zeros(4, np.int16), 16000, TypeError, 'The waveform of x is int16; expected floats'),
    (np.zeros((1, 2, 3)), 16000, ValueError, r'has shape \(1, 2, 3\); expected \(n,\) or \(n, channels\)'),
    (np.zeros((2, 16000)), 16000, ValueError, r'shape \(2, 16000\), which is 16000 channels; pass \(n, channels\)'),
    (np.zeros((16000, 0)), 16000, ValueError, 'which is 0 channels'),
    (np.zeros(4), None, ValueError, 'The sample rate of x is None'),
    (np.zeros(4), -1, ValueError, 'expected Hz above 0'),
    (np.array([0, np.inf]), 8000, ValueError, 'NaN or infinite')])
def test_wrong_waveforms(waveform, rate, error, message):
    with pytest.raises(error, match=message):
        to_mono(waveform, rate, 'x')
