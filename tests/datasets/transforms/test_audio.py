import pickle

import numpy as np
import pytest
import soundfile
import torch

from mmavs.datasets.errors import DataFileError
from mmavs.datasets.transforms import LogMelSpectrogram, audio, vggish_log_mel
from mmavs.registry import TRANSFORMS

RATE = 16000
SILENCE = float(np.log(0.01))


def noise(seconds: float, rate: int = RATE) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * rate)).astype(np.float32)


def clip(tmp_path, seconds: float, num_frames: int = 5, rate: int = RATE, subtype: str = 'FLOAT') -> dict:
    path = tmp_path / 'a.wav'
    soundfile.write(path, noise(seconds, rate), rate, subtype=subtype)
    return dict(img_path=['f'] * num_frames, audio_path=str(path))


@pytest.mark.parametrize(('seconds', 'num_frames'), [(5, 5), (10, 10), (10, 5), (30, 5)])
def test_one_example_per_frame_and_the_rest_is_cut(tmp_path, seconds, num_frames):
    found = LogMelSpectrogram()(clip(tmp_path, seconds, num_frames))['audio']
    assert (found.shape, found.dtype) == ((num_frames, 1, 96, 64), np.float32)
    assert np.array_equal(found[:, 0], vggish_log_mel(noise(seconds), RATE)[:num_frames])


def test_a_short_sound_is_padded_with_silence(tmp_path):
    found = LogMelSpectrogram()(clip(tmp_path, 2.5))['audio'][:, 0]
    expected = vggish_log_mel(np.concatenate([noise(2.5), np.zeros(3 * RATE)]), RATE)
    assert np.array_equal(found, expected)
    assert found[3:] == pytest.approx(SILENCE)
    # The half example that the waveform still gives is not lost.
    assert found[2, :50].mean() > 0


@pytest.mark.parametrize('seconds', [0.001, 0.5, 4.9])
@pytest.mark.parametrize('rate', [RATE, 44100, 8000])
def test_silence_is_enough_at_any_rate(tmp_path, seconds, rate):
    assert LogMelSpectrogram()(clip(tmp_path, seconds, rate=rate))['audio'].shape == (5, 1, 96, 64)


def test_repeat_and_zero_logmel_as_the_peers(tmp_path):
    whole = vggish_log_mel(noise(2.5), RATE)
    assert len(whole) == 2
    repeated = LogMelSpectrogram(pad='repeat')(clip(tmp_path, 2.5))['audio'][:, 0]
    assert np.array_equal(repeated, whole[[0, 1, 1, 1, 1]])
    zeros = LogMelSpectrogram(pad='zero_logmel')(clip(tmp_path, 2.5))['audio'][:, 0]
    assert np.array_equal(zeros[:2], whole)
    assert (zeros[2:] == 0).all()


def test_nothing_to_repeat(tmp_path):
    with pytest.raises(DataFileError, match=r"a\.wav is shorter than one example.*pad='silence'"):
        LogMelSpectrogram(pad='repeat')(clip(tmp_path, 0.5))


def test_a_long_sound_at_another_rate_is_not_changed_by_the_cut(tmp_path):
    found = LogMelSpectrogram()(clip(tmp_path, 20, rate=44100))['audio'][:, 0]
    expected = vggish_log_mel(noise(20, 44100), 44100)[:5]
    assert np.abs(found - expected).max() < 1e-3


def with_pickle(tmp_path, results: dict, num_examples: int = 5) -> dict:
    path = tmp_path / 'a.pkl'
    path.write_bytes(pickle.dumps(torch.full((num_examples, 1, 96, 64), 2.0)))
    return dict(results, audio_logmel_path=str(path))


def test_the_wav_is_preferred_to_the_pickle(tmp_path):
    found = LogMelSpectrogram()(with_pickle(tmp_path, clip(tmp_path, 5)))
    assert np.array_equal(found['audio'][:, 0], vggish_log_mel(noise(5), RATE))
    assert found['audio_path'].endswith('a.wav')


def test_the_pickle_serves_where_there_is_no_wav(tmp_path):
    results = with_pickle(tmp_path, dict(img_path=['f'] * 5, audio_path=str(tmp_path / 'none.wav')))
    found = LogMelSpectrogram()(results)
    assert (found['audio'] == 2.0).all()
    assert found['audio_path'] is None


@pytest.mark.parametrize(('pad', 'value'), [('silence', SILENCE), ('repeat', 2.0), ('zero_logmel', 0.0)])
def test_a_short_pickle_is_padded(tmp_path, pad, value):
    results = with_pickle(tmp_path, dict(img_path=['f'] * 5, audio_path=None), num_examples=3)
    found = LogMelSpectrogram(pad=pad)(results)['audio']
    assert (found[:3] == 2.0).all()
    assert found[3:] == pytest.approx(value)


def test_a_damaged_wav_is_an_error_even_beside_a_pickle(tmp_path):
    results = with_pickle(tmp_path, clip(tmp_path, 5))
    (tmp_path / 'a.wav').write_bytes(b'')
    with pytest.raises(DataFileError, match=r'a\.wav is empty'):
        LogMelSpectrogram()(results)


def test_a_waveform_in_memory_comes_first():
    wave = noise(5)
    results = dict(imgs=[None] * 5, waveform=np.stack([wave, wave], axis=1), sample_rate=RATE)
    assert np.array_equal(LogMelSpectrogram()(results)['audio'][:, 0], vggish_log_mel(wave, RATE))
    short = dict(imgs=[None] * 5, waveform=noise(1.5), sample_rate=RATE)
    assert LogMelSpectrogram()(short)['audio'][4] == pytest.approx(SILENCE)
    with pytest.raises(DataFileError, match='the waveform holds no samples'):
        LogMelSpectrogram()(dict(imgs=[None], waveform=np.zeros(0), sample_rate=RATE))


@pytest.mark.parametrize(('paths', 'message'), [
    (dict(audio_path='x/a.wav'), r'x/a\.wav does not exist: the clip has no sound'),
    (dict(audio_path='x/a.wav', audio_logmel_path='x/a.pkl'), r'x/a\.wav and x/a\.pkl do not exist'),
    (dict(), 'audio_path does not exist')])
def test_no_sound_at_all(paths, message):
    with pytest.raises(DataFileError, match=message):
        LogMelSpectrogram()(dict(img_path=['f'], **paths))


def test_the_cache_gives_the_same_and_is_used(tmp_path, monkeypatch):
    results = clip(tmp_path, 5, rate=22050)
    plain = LogMelSpectrogram()(dict(results))['audio']
    cached = LogMelSpectrogram(cache_dir=str(tmp_path / 'cache'))
    assert np.array_equal(cached(dict(results))['audio'], plain)

    def refuse(*_: object) -> None:
        raise AssertionError('computed although it is cached')

    monkeypatch.setattr(audio, 'vggish_log_mel', refuse)
    assert np.array_equal(cached(dict(results))['audio'], plain)
    assert len(list((tmp_path / 'cache').rglob('*.npy'))) == 1


def test_the_cache_sees_that_a_sound_was_replaced(tmp_path):
    transform = LogMelSpectrogram(cache_dir=str(tmp_path / 'cache'))
    transform(clip(tmp_path, 5))
    found = transform(clip(tmp_path, 2))['audio']
    assert found[4] == pytest.approx(SILENCE)


def test_settings_are_checked_and_printed():
    with pytest.raises(ValueError, match=r"pad must be one of \['silence', 'repeat', 'zero_logmel'\], got 'zeros'"):
        LogMelSpectrogram(pad='zeros')
    built = TRANSFORMS.build(dict(type='mmavs.LogMelSpectrogram', pad='repeat'))
    assert repr(built) == "LogMelSpectrogram(pad='repeat', cache_dir=None, keep_sound=False)"


@pytest.mark.parametrize(('rate', 'seconds'), [(RATE, 7), (44100, 7), (RATE, 2.5)])
def test_the_sound_below_the_log_mel_is_kept_when_asked(tmp_path, rate, seconds):
    assert 'sound' not in LogMelSpectrogram()(clip(tmp_path, seconds, rate=rate))
    cache = str(tmp_path / 'cache')
    for transform in (LogMelSpectrogram(keep_sound=True), LogMelSpectrogram(cache_dir=cache, keep_sound=True),
                      LogMelSpectrogram(cache_dir=cache, keep_sound=True)):
        found = transform(clip(tmp_path, seconds, rate=rate))
        assert (found['sound'].shape, found['sound'].dtype) == ((round(min(seconds, 5) * RATE), ), np.float32)
        # It is what the network gets: the same log-mel comes of it.
        again = LogMelSpectrogram()(dict(img_path=['f'] * 5, waveform=found['sound'], sample_rate=RATE))
        assert again['audio'] == pytest.approx(found['audio'], abs=2e-3)


def test_the_kept_sound_is_the_one_that_takes_the_files_place(tmp_path):
    stereo = np.stack([noise(5), np.zeros(5 * RATE, np.float32)], axis=1)
    results = dict(clip(tmp_path, 5), waveform=stereo, sample_rate=RATE)
    assert LogMelSpectrogram(keep_sound=True)(results)['sound'] == pytest.approx(noise(5) / 2)


def test_no_sound_is_kept_of_a_stored_log_mel(tmp_path):
    results = with_pickle(tmp_path, dict(img_path=['f'] * 5, audio_path=None))
    assert LogMelSpectrogram(keep_sound=True)(results)['sound'] is None
