"""Odd films: each gives a result or an error of one sentence that names the file, in time; nothing is left behind."""

import os
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import pytest

from mmavs.apis import MediaError, write_overlay_film
from mmavs.apis.overlay_film import FilmOptions
from tests.time_limit import time_limit

from .media import write_film

# Name -> (file name, options of write_film, number of masks).
GOOD = {
    'mpeg4 in mp4': ('a.mp4', dict(), 2),
    'h264 with b-frames': ('a.mp4', dict(codec='libx264', pix_fmt='yuv420p'), 2),
    'h264 at 10 bits': ('a.mkv', dict(codec='libx264', pix_fmt='yuv420p10le'), 2),
    'h264 4:4:4': ('a.mkv', dict(codec='libx264', pix_fmt='yuv444p'), 2),
    'h265': ('a.mp4', dict(codec='libx265', pix_fmt='yuv420p'), 2),
    'vp8 and opus': ('a.webm', dict(codec='libvpx', audio='libopus', rate=48000), 2),
    'vp9 with stereo': ('a.webm', dict(codec='libvpx-vp9', audio='libopus', rate=48000, layout='stereo'), 2),
    'mjpeg and pcm in avi': ('a.avi', dict(codec='mjpeg', audio='pcm_s16le'), 2),
    'mjpeg in mov': ('a.mov', dict(codec='mjpeg', audio='pcm_s16be', rate=22050), 2),
    'ffv1 without loss, flac': ('a.mkv', dict(codec='ffv1', audio='flac'), 2),
    'huffyuv': ('a.avi', dict(codec='huffyuv', audio='pcm_u8', rate=8000), 2),
    'mpeg2 in a transport stream': ('a.ts', dict(codec='mpeg2video', audio='mp2', fps=25, start=5), 2),
    'mpeg1 in a program stream': ('a.mpg', dict(codec='mpeg1video', audio='mp2', fps=25, rate=44100), 2),
    'flash': ('a.flv', dict(codec='flv', audio='libmp3lame', rate=44100), 2),
    'windows media': ('a.asf', dict(codec='wmv2', audio='libmp3lame', rate=44100), 2),
    'gif loop': ('a.gif', dict(codec='gif', audio=None, pix_fmt='rgb8'), 2),
    'raw picture': ('a.nut', dict(codec='rawvideo', audio='pcm_f32le', pix_fmt='rgb24'), 2),
    'picture with alpha': ('a.mov', dict(codec='png', pix_fmt='rgba', audio='alac'), 2),
    'grey picture': ('a.mkv', dict(codec='ffv1', pix_fmt='gray'), 2),
    '48 kHz 5.1': ('a.mkv', dict(audio='ac3', rate=48000, layout='5.1'), 2),
    '96 kHz stereo': ('a.mkv', dict(audio='pcm_s32le', rate=96000, layout='stereo'), 2),
    '8 kHz telephone': ('a.wav.mov', dict(audio='pcm_mulaw', rate=8000), 2),
    'quarter turn': ('a.mp4', dict(rotation=90), 2),
    'half turn': ('a.mp4', dict(rotation=180), 2),
    'one frame a second': ('a.mkv', dict(fps=1), 2),
    'slow film': ('a.mkv', dict(fps=Fraction(1, 2), seconds=4), 4),
    '120 frames a second': ('a.mp4', dict(fps=120, seconds=1), 1),
    'ntsc rate': ('a.mp4', dict(fps=Fraction(30000, 1001)), 2),
    'variable rate': ('a.mkv', dict(times=[Fraction(k * k, 100) for k in range(15)]), 2),
    'one picture': ('a.mkv', dict(times=[Fraction(0)], seconds=0.1), 1),
    'shorter than an instant': ('a.mp4', dict(seconds=0.4), 1),
    'tiny': ('a.mkv', dict(size=(2, 2), codec='ffv1'), 2),
    'odd size': ('a.mkv', dict(size=(63, 47), codec='ffv1', pix_fmt='yuv444p'), 2),
    'tall': ('a.mkv', dict(size=(16, 256), codec='ffv1'), 2),
    'mp4 called jpg': ('a.jpg', dict(container='mp4'), 2),
    'mkv called mp4': ('a.mp4', dict(container='matroska'), 2),
    'no suffix': ('a', dict(container='mp4'), 2),
    'strange name': ("a 'b' \"c\" %d ; : # [1].mp4", dict(), 2),
}

# Name -> (file name, what writes it, part of the error).
BAD = {
    'missing': ('a.mp4', lambda path: None, 'does not exist'),
    'empty': ('a.mp4', lambda path: path.write_bytes(b''), 'is empty'),
    'noise': ('a.mp4', lambda path: path.write_bytes(bytes(range(256)) * 40), 'cannot be opened'),
    'zeros': ('a.mkv', lambda path: path.write_bytes(bytes(10000)), 'cannot be opened'),
    'text': ('a.avi', lambda path: path.write_text('hello\n' * 99), 'cannot be opened'),
    'play list': ('a.mp4', lambda path: path.write_text('#EXTM3U\n#EXTINF:1,\nother.ts\n'), 'cannot be opened'),
    'a box header only': ('a.mp4', lambda path: path.write_bytes(b'\0\0\0\x18ftypisom' + bytes(12)),
                          'cannot be opened'),
    'sound only': ('a.mp4', lambda path: write_film(path, seconds=1, codec=None), 'has no video stream'),
    'wav called mp4': ('a.mp4', lambda path: write_film(
        path, seconds=1, codec=None, audio='pcm_s16le', container='wav'), 'has no video stream'),
    'no sound': ('a.mp4', lambda path: write_film(path, seconds=1, audio=None), 'has no audio stream'),
    'picture of no length': ('a.mkv', lambda path: write_film(path, times=[], seconds=1), 'not one picture'),
    'sound of no length': ('a.mkv', lambda path: without_samples(path), 'not one sample|no audio stream'),
}


def without_samples(path):
    """A film whose audio stream has no packet."""
    with av.open(str(path), 'w') as output:
        video, _ = output.add_stream('mjpeg', rate=10), output.add_stream('pcm_s16le', rate=16000, layout='mono')
        video.width, video.height, video.pix_fmt = 64, 48, 'yuvj420p'
        for index in range(5):
            frame = av.VideoFrame(64, 48, 'yuvj420p')
            frame.pts = index
            output.mux(video.encode(frame))
        output.mux(video.encode(None))


@pytest.fixture(autouse=True)
def nothing_left(tmp_path, monkeypatch):
    """Temporary files go to a folder that must be empty afterwards."""
    folder = tmp_path / 'temporary'
    folder.mkdir()
    monkeypatch.setattr(tempfile, 'tempdir', str(folder))
    yield
    assert list(folder.iterdir()) == []
    assert not [path for path in tmp_path.rglob('*') if path.name.startswith('.')]


@pytest.fixture(autouse=True)
def no_hang():
    """A film that is never done fails its test. The slowest takes 3 s on an idle core."""
    with time_limit(120):
        yield


def predict(inferencer, path, **options):
    """Masks of a film, or its error, which must be one sentence that names it."""
    try:
        sample, = inferencer(path, **options)
        return sample.pred_sem_seg.data
    except MediaError as error:
        text = str(error)
        assert text.startswith(str(path))
        assert text.endswith('.')
        assert '\n' not in text
        assert '. ' not in text.removeprefix(str(path))
        return text


@pytest.mark.parametrize('case', GOOD)
def test_odd_but_good_films(inferencer, tmp_path, case):
    name, options, count = GOOD[case]
    codecs = [options.get('codec', 'mpeg4'), options.get('audio', 'aac')]
    missing = [codec for codec in codecs if codec is not None and codec not in av.codecs_available]
    if missing:
        pytest.skip(f'this FFmpeg has no encoder {missing[0]}')
    path = write_film(tmp_path / name, **{'seconds': 2, **options})
    masks = predict(inferencer, path, audio='silence' if options.get('audio', 'aac') is None else 'require')
    assert len(masks) == count, masks
    width, height = options.get('size', (64, 48))
    assert tuple(masks.shape[1:]) == ((width, height) if options.get('rotation') == 90 else (height, width))
    out = tmp_path / 'out.mp4'
    report = write_overlay_film(inferencer, path, out, FilmOptions(audio='silence'))
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == report.frames
        assert len(container.streams.audio) == (options.get('audio', 'aac') is not None)


@pytest.mark.parametrize('case', BAD)
def test_films_that_cannot_be_used(inferencer, tmp_path, case):
    name, make, message = BAD[case]
    path = tmp_path / name
    make(path)
    error = predict(inferencer, path)
    assert isinstance(error, str)
    assert any(part in error for part in message.split('|')), error
    with pytest.raises(MediaError):
        write_overlay_film(inferencer, path, tmp_path / 'out.mp4')
    assert not (tmp_path / 'out.mp4').exists()


# Container -> options of write_film, and whether its beginning can be read without its end.
CUT = {'a.mp4': (dict(), False), 'a.mkv': (dict(), True), 'a.avi': (dict(audio='pcm_s16le'), True),
       'a.ts': (dict(codec='mpeg2video', audio='mp2', fps=25), True),
       'a.webm': (dict(codec='libvpx', audio='libopus', rate=48000), True)}


@pytest.mark.parametrize('name', CUT)
def test_films_cut_off_at_every_tenth(inferencer, tmp_path, name):
    options, readable = CUT[name]
    content = write_film(tmp_path / f'whole{Path(name).suffix}', seconds=2.5, **options).read_bytes()
    lengths = []
    for tenth in range(10):
        path = tmp_path / name
        path.write_bytes(content[:len(content) * tenth // 10])
        masks = predict(inferencer, path)
        lengths.append(0 if isinstance(masks, str) else len(masks))
    assert lengths == sorted(lengths)
    assert lengths[0] == 0
    # The index of an mp4 is at its end: without it nothing can be read.
    assert lengths[-1] == (2 if readable else 0)
    if readable:
        report = write_overlay_film(inferencer, path, tmp_path / 'out.mp4')
        assert report.instants == 2
        assert report.frames >= 20


@pytest.mark.parametrize('name', ['a.mp4', 'a.mkv', 'a.avi', 'a.ts'])
def test_films_with_overwritten_parts(inferencer, tmp_path, name):
    options = dict(codec='mpeg2video', audio='mp2', fps=25) if name == 'a.ts' else {}
    whole = write_film(tmp_path / f'whole{Path(name).suffix}', seconds=2, **options).read_bytes()
    for tenth in range(10):
        content = bytearray(whole)
        begin = len(content) * tenth // 10
        content[begin:begin + len(content) // 20] = os.urandom(len(content) // 20)
        (tmp_path / name).write_bytes(content)
        masks = predict(inferencer, tmp_path / name)
        assert isinstance(masks, str) or 1 <= len(masks) <= 700
