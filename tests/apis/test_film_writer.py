from fractions import Fraction

import av
import numpy as np
import pytest

from mmavs.apis import film_writer
from mmavs.apis.film_writer import FilmWriter, check_film_path
from mmavs.apis.media_file import MediaError

from .media import picture, read_pictures, read_sound


def write(path, times, size=(48, 64), **options):
    with FilmWriter(path, size, Fraction(10), **options) as film:
        for index, seconds in enumerate(times):
            film.write(picture(index, size[1], size[0]), Fraction(seconds))
    return film


@pytest.mark.parametrize(('suffix', 'codec'), [('.mp4', 'h264'), ('.mov', 'h264'), ('.mkv', 'h264'), ('.webm', 'vp9')])
def test_pictures_come_back(tmp_path, suffix, codec):
    path = tmp_path / f'a{suffix}'
    film = write(path, [Fraction(index, 10) for index in range(12)])
    assert film.frames == 12
    assert film.sound_copied is None
    pictures = read_pictures(path)
    assert [time for time, _ in pictures] == pytest.approx([index / 10 for index in range(12)], abs=2e-3)
    for index, (_, shown) in enumerate(pictures):
        assert np.mean(np.abs(shown.astype(int) - picture(index))) < 6
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name.startswith(codec[:3])


def test_variable_times_are_kept(tmp_path):
    times = [0, Fraction(1, 30), Fraction(1, 2), Fraction(7, 8), 3]
    write(tmp_path / 'a.mp4', times)
    assert [time for time, _ in read_pictures(tmp_path / 'a.mp4')] == pytest.approx([float(t) for t in times], abs=1e-4)


@pytest.mark.parametrize('suffix', ['.mp4', '.m4v', '.mov', '.mkv', '.webm'])
@pytest.mark.parametrize(('times', 'end'), [([Fraction(k, 10) for k in range(20)], 2),
                                            ([Fraction(k * k, 100) for k in range(20)], 3.71)])
def test_length_of_the_film(tmp_path, suffix, times, end):
    # The last picture is shown for a tenth of a second, as the mean rate says.
    path = tmp_path / f'a{suffix}'
    write(path, times)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert container.duration / 1e6 == pytest.approx(end, abs=2e-3)
        if suffix in ('.mp4', '.m4v', '.mov'):
            assert float(stream.duration * stream.time_base) == pytest.approx(end, abs=2e-3)
    assert [time for time, _ in read_pictures(path)] == pytest.approx([float(t) for t in times], abs=2e-3)


def test_odd_sizes_get_a_column_and_a_row(tmp_path):
    write(tmp_path / 'a.mp4', [0, 1], size=(47, 63))
    assert read_pictures(tmp_path / 'a.mp4')[0][1].shape == (48, 64, 3)


def test_pixel_aspect(tmp_path):
    write(tmp_path / 'a.mp4', [0, 1], pixel_aspect=Fraction(16, 11))
    with av.open(str(tmp_path / 'a.mp4')) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(16, 11)


def test_sound_comes_along(tmp_path, film):
    written = write(tmp_path / 'a.mp4', [Fraction(index, 10) for index in range(70)], sound_of=film)
    assert written.sound_copied is True
    old, new = read_sound(film)[0], read_sound(tmp_path / 'a.mp4')[0]
    assert np.array_equal(old, new)


def test_sound_and_picture_lie_side_by_side(tmp_path, film):
    write(tmp_path / 'a.mkv', [Fraction(index, 10) for index in range(70)], sound_of=film)
    with av.open(str(tmp_path / 'a.mkv')) as container:
        times = [(packet.stream.type, float(packet.dts * packet.time_base)) for packet in container.demux()
                 if packet.dts is not None]
    furthest = dict(video=0.0, audio=0.0)
    for kind, time in times:
        furthest[kind] = max(furthest[kind], time)
        assert abs(furthest['video'] - furthest['audio']) < 1


def test_equal_times_still_increase(tmp_path):
    write(tmp_path / 'a.mp4', [0, 0, 0])
    times = [time for time, _ in read_pictures(tmp_path / 'a.mp4')]
    assert len(set(times)) == 3


def test_nothing_is_left_after_an_error(tmp_path):
    path = tmp_path / 'a.mp4'
    path.write_bytes(b'older film')

    def fail():
        with FilmWriter(path, (48, 64), Fraction(10)) as film:
            film.write(picture(0), Fraction(0))
            raise RuntimeError('stop')

    with pytest.raises(RuntimeError, match='stop'):
        fail()
    assert [item.name for item in tmp_path.iterdir()] == ['a.mp4']
    assert path.read_bytes() == b'older film'


def test_target_appears_when_it_is_complete(tmp_path):
    path = tmp_path / 'new' / 'a.mp4'
    with FilmWriter(path, (48, 64), Fraction(10)) as film:
        film.write(picture(0), Fraction(0))
        assert not path.exists()
    assert [item.name for item in path.parent.iterdir()] == ['a.mp4']


def test_wrong_suffix(tmp_path):
    with pytest.raises(MediaError, match=r'a\.gif must end in one of \.mp4, \.m4v, \.mov, \.mkv, \.webm'):
        write(tmp_path / 'a.gif', [0])
    assert check_film_path(tmp_path / 'a.MP4') == '.mp4'


def test_sound_that_cannot_be_read(tmp_path, silent_film):
    with pytest.raises(MediaError, match='no audio stream'):
        write(tmp_path / 'a.mp4', [0], sound_of=silent_film)
    assert list(tmp_path.iterdir()) == []


def test_what_ffmpeg_says_becomes_a_sentence(tmp_path):
    def fail():
        with FilmWriter(tmp_path / 'a.mp4', (48, 64), Fraction(10)):
            raise av.error.InvalidDataError(1, 'Invalid data found')

    with pytest.raises(MediaError, match=r'a\.mp4 cannot be written: invalid data found\.$'):
        fail()


def test_an_ffmpeg_without_h264_takes_mpeg4(tmp_path, monkeypatch):
    monkeypatch.setattr(film_writer, '_can_encode', lambda codec: codec == 'mpeg4')
    write(tmp_path / 'a.mp4', [0, Fraction(1, 10)])
    with av.open(str(tmp_path / 'a.mp4')) as container:
        assert container.streams.video[0].codec_context.name == 'mpeg4'
    assert len(read_pictures(tmp_path / 'a.mp4')) == 2


def test_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(**options):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(film_writer.tempfile, 'mkstemp', refuse)
    with pytest.raises(MediaError, match=r'a\.mp4 cannot be written: permission denied'):
        write(tmp_path / 'a.mp4', [0])
