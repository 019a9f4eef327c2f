import numpy as np
import pytest
import soundfile

from mmavs.datasets.errors import DataFileError
from mmavs.datasets.transforms import LogMelSpectrogram, ReplaceSound, vggish_log_mel
from mmavs.registry import TRANSFORMS

RATE = 16000


@pytest.fixture
def clip(tmp_path) -> dict:
    """A clip of 5 frames and 4 s of a stereo tone of RMS 0.2 (mean of the channels)."""
    samples = 0.2 * np.sqrt(2) * np.sin(2 * np.pi * 500 * np.arange(4 * RATE) / RATE)
    path = tmp_path / 'a.wav'
    soundfile.write(path, np.stack([1.5 * samples, 0.5 * samples], axis=1), RATE, subtype='DOUBLE')
    return dict(img_path=['f'] * 5, video_id='a', audio_path=str(path), audio_logmel_path=None)


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.square(samples).mean()))


def test_silence_has_the_clips_length_and_needs_no_file(clip):
    results = ReplaceSound('silence')(dict(clip, audio_path=None))
    assert results['waveform'].shape == (80000, 1)
    assert not results['waveform'].any()
    audio = LogMelSpectrogram()(results)['audio']
    assert audio.shape == (5, 1, 96, 64)
    assert np.allclose(audio, np.log(0.01))


def test_noise_alone_is_as_loud_as_the_own_sound_and_white(clip):
    results = ReplaceSound('noise')(dict(clip))
    noise = results['waveform'][:, 0]
    assert noise.shape == (80000, )
    assert rms(noise) == pytest.approx(0.2, rel=0.01)
    spectrum = np.abs(np.fft.rfft(noise)) ** 2
    assert spectrum[:20000].mean() == pytest.approx(spectrum[20000:].mean(), rel=0.05)
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 0.02


@pytest.mark.parametrize('snr', [20.0, 0.0, -10.0])
def test_added_noise_has_the_given_loudness(clip, snr):
    results = ReplaceSound('noise_added', snr_db=snr)(dict(clip))
    own = soundfile.read(clip['audio_path'])[0]
    noise = results['waveform'].copy()
    noise[:len(own)] -= own
    assert noise.shape == (80000, 2)
    assert np.allclose(noise[:, 0], noise[:, 1], atol=1e-6)
    assert 20 * np.log10(0.2 / rms(noise[:, 0])) == pytest.approx(snr, abs=0.1)
    # The part behind the end of the own sound has noise, too.
    assert rms(noise[70000:]) == pytest.approx(rms(noise), rel=0.05)
    expected = vggish_log_mel(results['waveform'], RATE)
    assert np.abs(LogMelSpectrogram()(results)['audio'][:, 0] - expected).max() < 1e-5


def test_much_louder_than_the_noise_is_the_own_sound(clip):
    mixed = LogMelSpectrogram()(ReplaceSound('noise_added', snr_db=120.0)(dict(clip)))['audio']
    own = LogMelSpectrogram()(dict(clip))['audio']
    assert np.abs(mixed - own).max() < 1e-2


def test_noise_depends_on_clip_and_seed_alone(clip):
    first, again = (ReplaceSound('noise')(dict(clip))['waveform'] for _ in range(2))
    np.random.seed(5)
    assert np.array_equal(first, again)
    assert np.array_equal(ReplaceSound('noise')(dict(clip))['waveform'], first)
    other = ReplaceSound('noise')(dict(clip, video_id='b'))['waveform']
    seeded = ReplaceSound('noise', seed=1)(dict(clip))['waveform']
    for noise in (other, seeded):
        assert abs(np.corrcoef(noise[:, 0], first[:, 0])[0, 1]) < 0.02


def test_noise_for_a_clip_that_is_silent(clip):
    soundfile.write(clip['audio_path'], np.zeros(RATE), RATE)
    assert rms(ReplaceSound('noise')(dict(clip))['waveform']) == pytest.approx(0.1, rel=0.01)


def test_the_rate_of_the_file_is_kept(clip):
    soundfile.write(clip['audio_path'], np.full(44100, 0.5), 44100)
    results = ReplaceSound('noise')(dict(clip))
    assert (results['sample_rate'], results['waveform'].shape) == (44100, (5 * 44100, 1))


def test_noise_needs_a_sound_file(clip, tmp_path):
    with pytest.raises(DataFileError, match=r"has no sound file, which ReplaceSound\('noise'\) needs"):
        ReplaceSound('noise')(dict(clip, audio_path=None))
    with pytest.raises(DataFileError, match=r'gone\.wav does not exist'):
        ReplaceSound('noise_added')(dict(clip, audio_path=str(tmp_path / 'gone.wav')))


@pytest.mark.parametrize(('settings', 'message'), [
    (dict(kind='music'), r"kind must be one of \['silence', 'noise', 'noise_added'\], got 'music'"),
    (dict(kind='noise', seed=-1), 'seed must be 0 or more')])
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        ReplaceSound(**settings)


def test_registered_and_printable():
    step = TRANSFORMS.build(dict(type='mmavs.ReplaceSound', kind='noise_added', snr_db=3.0))
    assert repr(step) == "ReplaceSound(kind='noise_added', snr_db=3.0, seed=0)"
