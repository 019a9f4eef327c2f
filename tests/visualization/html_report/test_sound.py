import numpy as np
import pytest
import soundfile

from mmavs.visualization.html_report.sound import write_sound


def test_written_sound_is_16_bit_wav(tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    write_sound(tmp_path / 'new' / 'a.wav', tone.astype(np.float32))
    info = soundfile.info(tmp_path / 'new' / 'a.wav')
    assert (info.samplerate, info.channels, info.subtype, info.frames) == (16000, 1, 'PCM_16', 16000)
    assert soundfile.read(tmp_path / 'new' / 'a.wav')[0] == pytest.approx(tone, abs=1e-4)


def test_values_that_are_too_loud_are_clipped(tmp_path):
    # Noise that is added to a clip may go beyond 1; wrapped around it would be a click.
    write_sound(tmp_path / 'a.wav', np.array([3.0, -3.0, 0.25]))
    assert soundfile.read(tmp_path / 'a.wav')[0] == pytest.approx([1.0, -1.0, 0.25], abs=1e-4)
