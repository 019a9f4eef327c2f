import struct
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest

from mmavs.apis import video_reader
from mmavs.apis.media_file import MediaError
from mmavs.apis.video_reader import VideoReader

from .media import picture, write_film


def test_pictures_and_times(film):
    reader = VideoReader(film)
    assert (reader.info.width, reader.info.height, reader.info.rate) == (64, 48, 10)
    assert reader.info.seconds == pytest.approx(7, abs=0.1)
    frames = list(reader)
    assert [frame.seconds for frame in frames] == [Fraction(index, 10) for index in range(70)]
    assert frames[-1].until == 7
    for index in (0, 37):
        difference = np.abs(frames[index].rgb().astype(int) - picture(index))
        assert np.median(difference) <= 2
        assert difference[20:26, 4 + index % 10 * 4 + 3].max() < 40


def test_every_iteration_starts_anew(film):
    reader = VideoReader(film)
    first = [next(iter(reader)).rgb() for _ in range(2)]
    assert np.array_equal(*first)


def test_variable_frame_rate_keeps_its_times(tmp_path):
    times = [Fraction(value, 1000) for value in (0, 33, 500, 512, 1200, 2900)]
    path = write_film(tmp_path / 'v.mkv', times=times, seconds=3)
    assert [frame.seconds for frame in VideoReader(path)] == times


def test_stream_times_begin_at_zero(tmp_path):
    path = write_film(tmp_path / 'a.ts', seconds=1, fps=25, codec='mpeg2video', audio='mp2', start=9)
    times = [frame.seconds for frame in VideoReader(path)]
    assert len(times) == 25
    assert 0 <= times[0] < 0.1
    assert float(times[-1] - times[0]) == pytest.approx(0.96, abs=1e-3)


def turn(path, matrix):
    """Put a display matrix (a, b, c, d) into the first track header of an mp4."""
    content = bytearray(path.read_bytes())
    place = content.index(b'tkhd') + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    content[place:place + 36] = struct.pack('>9i', a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


@pytest.mark.parametrize(('matrix', 'corner', 'size'), [
    ((1, 0, 0, 1), (0, 0), (48, 64)),
    # QuickTime: a point (x, y) is shown at (a x + c y, b x + d y), y downwards; this is a quarter turn clockwise.
    ((0, 1, -1, 0), (0, -1), (64, 48)),
    ((-1, 0, 0, -1), (-1, -1), (48, 64)),
    ((0, -1, 1, 0), (-1, 0), (64, 48)),
])
def test_phone_videos_are_turned(tmp_path, matrix, corner, size):
    path = tmp_path / 'phone.mp4'
    with av.open(str(path), 'w') as output:
        stream = output.add_stream('mpeg4', rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        image = np.zeros((48, 64, 3), np.uint8)
        image[:16, :16] = 250
        for _ in range(2):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format='rgb24')))
        output.mux(stream.encode(None))
    turn(path, matrix)
    reader = VideoReader(path)
    shown = next(iter(reader)).rgb()
    assert shown.shape == (*size, 3)
    assert (reader.info.height, reader.info.width) == size
    ends = {0: slice(0, 4), -1: slice(-4, None)}
    blocks = {(y, x): shown[ends[y], ends[x]].mean() for y in ends for x in ends}
    assert max(blocks, key=blocks.get) == corner
    assert blocks[corner] > 200


def test_pictures_of_another_size_are_brought_to_the_first(film):
    info = VideoReader(film).info
    other = av.VideoFrame.from_ndarray(np.full((20, 30, 3), 77, np.uint8), format='rgb24')
    shown = video_reader.to_rgb(other, info)
    assert shown.shape == (48, 64, 3)
    assert set(np.unique(shown)) <= {76, 77, 78}


def test_no_video_stream(tmp_path):
    path = write_film(tmp_path / 'sound.mp4', seconds=1, codec=None)
    with pytest.raises(MediaError, match=r'sound\.mp4 has no video stream\.$'):
        VideoReader(path)


def test_stream_without_a_picture(tmp_path):
    path = write_film(tmp_path / 'empty.mkv', seconds=0.01, times=[])
    with pytest.raises(MediaError, match=r'video stream \(mpeg4\), but not one picture of it can be decoded'):
        VideoReader(path)


def fake_frames(monkeypatch, film, stamps):
    reader = VideoReader(film)
    frames = [SimpleNamespace(pts=stamp, time_base=Fraction(1, 10), duration=0) for stamp in stamps]
    monkeypatch.setattr(video_reader, 'decoded', lambda container, stream: iter(frames))
    return reader


def test_missing_and_backward_time_stamps_are_replaced(monkeypatch, film):
    reader = fake_frames(monkeypatch, film, [0, None, 1, 5, 2, 7])
    times = [float(frame.seconds) for frame in reader]
    assert times == pytest.approx([0, 0.1, 0.2, 0.5, 0.6, 0.7])


def test_a_wild_time_stamp_is_an_error_and_no_endless_film(monkeypatch, film):
    reader = fake_frames(monkeypatch, film, [0, 1, 90_000])
    with pytest.raises(MediaError, match='its time stamps are damaged'):
        list(reader)


def test_monstrous_pictures_are_refused(monkeypatch, film):
    monkeypatch.setattr(video_reader, 'MOST_PIXELS', 1000)
    with pytest.raises(MediaError, match='has pictures of 64x48 pixels; at most 1,000 pixels are read'):
        VideoReader(film)


def test_cover_of_a_music_file_is_no_film(tmp_path):
    path = write_film(tmp_path / 'song.mp4', seconds=1, codec='mjpeg')
    with av.open(str(path)) as container:
        assert container.streams.video[0] is not None
    cover = SimpleNamespace(disposition=av.stream.Disposition.attached_pic, codec_context=object())
    streams = SimpleNamespace(video=[cover], best=lambda kind: cover)
    with pytest.raises(MediaError, match='has no video stream'):
        video_reader._video_stream(SimpleNamespace(streams=streams), path)
