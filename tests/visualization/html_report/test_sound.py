import numpy as np
import pytest
import soundfile

from mmavs.visualization.html_report.sound import SAMPLE_RATE, read_sound, write_sound


def tone(rate, seconds, hertz=440.0):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


@pytest.mark.parametrize(('rate', 'channels'), [(16000, 1), (44100, 2), (8000, 1), (48000, 6)])
def test_any_rate_and_number_of_channels_becomes_mono_at_16_khz(tmp_path, rate, channels):
    path = tmp_path / 'a.wav'
    soundfile.write(path, np.repeat(tone(rate, 4)[:, None], channels, axis=1), rate)
    samples = read_sound(path, seconds=2)
    assert samples.shape == (2 * SAMPLE_RATE, )
    # Resampling filters swing in and out at the ends.
    assert samples[500:-500] == pytest.approx(tone(SAMPLE_RATE, 2)[500:-500], abs=2e-3)


def test_channels_are_averaged(tmp_path):
    soundfile.write(tmp_path / 'a.wav', np.array([[0.5, -0.25]] * 100), 16000)
    assert read_sound(tmp_path / 'a.wav', 1) == pytest.approx(np.full(100, 0.125), abs=1e-4)


def test_a_short_sound_stays_short(tmp_path):
    soundfile.write(tmp_path / 'a.wav', tone(16000, 0.5), 16000)
    assert len(read_sound(tmp_path / 'a.wav', seconds=5)) == 8000


def test_values_that_are_no_numbers_or_too_loud_become_playable(tmp_path):
    soundfile.write(tmp_path / 'a.wav', np.array([np.nan, 3.0, -3.0, 0.25]), 16000, subtype='FLOAT')
    assert read_sound(tmp_path / 'a.wav', 1).tolist() == [0.0, 1.0, -1.0, 0.25]


def test_written_sound_is_16_bit_wav(tmp_path):
    write_sound(tmp_path / 'new' / 'a.wav', tone(16000, 1).astype(np.float32))
    info = soundfile.info(tmp_path / 'new' / 'a.wav')
    assert (info.samplerate, info.channels, info.subtype, info.frames) == (16000, 1, 'PCM_16', 16000)
    assert soundfile.read(tmp_path / 'new' / 'a.wav')[0] == pytest.approx(tone(16000, 1), abs=1e-4)


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'lost\.wav does not exist'):
        read_sound(tmp_path / 'lost.wav', 1)
    (tmp_path / 'text.wav').write_text('hello')
    with pytest.raises(ValueError, match=r'text\.wav is not a sound'):
        read_sound(tmp_path / 'text.wav', 1)
