from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest

from mmavs.apis import audio_reader
from mmavs.apis.audio_reader import AudioReader, audio_stream
from mmavs.apis.media_file import MediaError

from .media import tone, write_film


@pytest.fixture(scope='module')
def wav(tmp_path_factory):
    return write_film(tmp_path_factory.mktemp('sound') / 'a.wav', seconds=6, codec=None, audio='pcm_s16le')


def test_windows_are_sample_exact(wav):
    reader, samples = AudioReader(wav, history=5), tone(6, 16000)[0]
    assert reader.rate == 16000
    for start, end in ((0, 2), (1, 3), (0.5, 3.25), (3, 5)):
        window = reader.read(start, end)
        assert window.dtype == np.float32
        expected = samples[round(start * 16000):round(end * 16000)]
        assert window.shape == expected.shape
        assert np.abs(window - expected).max() < 1 / 32000


def test_after_the_end_is_silence(wav):
    window = AudioReader(wav, history=5).read(5, 8)
    assert len(window) == 48000
    assert np.abs(window[:16000]).max() > 0.2
    assert not window[16000:].any()


def test_before_the_beginning_the_sound_is_mirrored(wav):
    reader = AudioReader(wav, history=5)
    window = reader.read(Fraction(-1, 2), Fraction(3, 2))
    assert len(window) == 32000
    assert np.array_equal(window[8000:], reader.read(0, 1.5))
    assert np.array_equal(window[:8000], window[8001:16001][::-1])


def test_only_the_history_is_kept(wav):
    reader = AudioReader(wav, history=1)
    for second in range(5):
        reader.read(second, second + 1)
        assert len(reader._kept) <= 2 * 16000 + 4096
    with pytest.raises(ValueError, match=r'the sound at 0\.000 s is no longer kept; read in order, at most 1 s back'):
        reader.read(0, 1)


@pytest.mark.parametrize(('name', 'audio', 'rate', 'layout'), [
    ('a.mp4', 'aac', 44100, 'stereo'), ('a.mkv', 'flac', 22050, 'mono'), ('a.webm', 'libopus', 48000, 'stereo'),
    ('a.mov', 'pcm_s16le', 8000, 'stereo'), ('b.mkv', 'ac3', 48000, '5.1')])
def test_codecs_and_layouts_give_the_mean_of_the_channels_at_the_right_time(tmp_path, name, audio, rate, layout):
    path = write_film(tmp_path / name, seconds=2, codec='mjpeg' if name != 'a.webm' else 'libvpx', audio=audio,
                      rate=rate, layout=layout)
    reader = AudioReader(path, history=5)
    channels = av.AudioLayout(layout).nb_channels
    expected = tone(2, rate, channels).mean(axis=0)
    window = reader.read(0, 2)
    assert reader.rate == rate
    inner = slice(rate // 4, -rate // 4)
    assert np.corrcoef(window[inner], expected[inner])[0, 1] > 0.99
    assert np.std(window[inner]) == pytest.approx(np.std(expected[inner]), rel=0.1)


def test_no_audio_stream(silent_film):
    with pytest.raises(MediaError, match=r'mute\.mp4 has no audio stream\.$'):
        AudioReader(silent_film, history=5)


def test_stream_that_cannot_be_decoded():
    stream = SimpleNamespace(codec_context=None)
    container = SimpleNamespace(streams=SimpleNamespace(best=lambda kind: stream))
    with pytest.raises(MediaError, match='of a codec that this FFmpeg cannot decode'):
        audio_stream(container, 'x.mp4')


def sound_frame(start, values, rate=100, layout='mono'):
    frame = av.AudioFrame.from_ndarray(np.asarray(values, np.float32).reshape(av.AudioLayout(layout).nb_channels, -1),
                                       format='fltp', layout=layout)
    frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), start
    return frame


def read_frames(monkeypatch, wav, frames, start=0, end=3):
    monkeypatch.setattr(audio_reader, 'decoded', lambda container, stream: iter(frames))
    return AudioReader(wav, history=10).read(start, end)


def test_gaps_are_silent_and_the_rest_keeps_its_time(monkeypatch, wav):
    frames = [sound_frame(100 * start, np.full(100, value)) for start, value in ((0, 1), (2, 2), (3, 3))]
    window = read_frames(monkeypatch, wav, frames, end=4)
    assert np.array_equal(window, np.repeat([1, 0, 2, 3], 100))


def test_late_and_early_beginnings(monkeypatch, wav):
    late = read_frames(monkeypatch, wav, [sound_frame(3, np.ones(100))], end=1)
    assert np.array_equal(late, np.r_[np.zeros(3), np.ones(97)])
    early = read_frames(monkeypatch, wav, [sound_frame(-20, np.arange(100))], end=0.5)
    assert np.array_equal(early, np.arange(20, 70))


def test_rounded_time_stamps_are_no_gaps(monkeypatch, wav):
    window = read_frames(monkeypatch, wav, [sound_frame(0, np.ones(50)), sound_frame(53, np.ones(50))], end=1)
    assert np.array_equal(window, np.ones(100))


def test_wild_time_stamps_are_ignored(monkeypatch, wav):
    frames = [sound_frame(0, np.ones(50)), sound_frame(10 ** 9, np.ones(50)), sound_frame(None, np.ones(50))]
    assert np.array_equal(read_frames(monkeypatch, wav, frames, end=1.5), np.ones(150))


def test_layout_changes_on_the_way(monkeypatch, wav):
    stereo = sound_frame(100, np.stack([np.full(100, 1.0), np.full(100, 3.0)]), layout='stereo')
    window = read_frames(monkeypatch, wav, [sound_frame(0, np.ones(100)), stereo], end=2)
    assert np.allclose(window, np.repeat([1, 2], 100))


def test_nan_is_an_error_with_the_name(monkeypatch, wav):
    with pytest.raises(MediaError, match=r'a\.wav has sound samples that are NaN or infinite'):
        read_frames(monkeypatch, wav, [sound_frame(0, [np.nan, 1])])


def test_no_sample_at_all(monkeypatch, wav):
    with pytest.raises(MediaError, match='has an audio stream, but not one sample of it can be decoded'):
        read_frames(monkeypatch, wav, [])


def test_close_ends_decoding(wav):
    reader = AudioReader(wav, history=5)
    reader.close()
    assert not reader.read(4, 5).any()
