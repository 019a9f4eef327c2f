import builtins
import os

import pytest

from mmavs.apis.media_file import MediaError, decoded, import_av, open_media, packets, reason, zero_time

from .media import write_film


@pytest.mark.parametrize(('make', 'message'), [
    (lambda path: None, 'does not exist'),
    (lambda path: path.mkdir(), 'is a folder'),
    (lambda path: path.write_bytes(b''), r'is empty \(0 bytes\)'),
    (lambda path: path.write_bytes(os.urandom(5000)), 'cannot be opened'),
    (lambda path: path.write_text('a text, not a film\n' * 50), 'cannot be opened'),
])
def test_unusable_paths_are_named(tmp_path, make, message):
    path = tmp_path / 'clip.mp4'
    make(path)
    with pytest.raises(MediaError, match=message) as caught, open_media(path):
        pass
    assert str(path) in str(caught.value)
    assert str(caught.value).count('\n') == 0


@pytest.mark.parametrize('text', [
    '#EXTM3U\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n',
    'ffconcat version 1.0\nfile {other}\n',
    'v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n',
])
def test_files_that_point_to_other_files_are_refused(tmp_path, film, text):
    path = tmp_path / 'list.mp4'
    (tmp_path / 'other.mp4').write_bytes(film.read_bytes())
    path.write_text(text.format(other='other.mp4'))
    with pytest.raises(MediaError, match='cannot be opened'), open_media(path):
        pass


def test_suffix_does_not_matter_and_names_may_hold_anything(tmp_path, film):
    path = tmp_path / 'http: 100% #1 "ü".txt'
    path.write_bytes(film.read_bytes())
    with open_media(path) as container:
        assert 'mp4' in container.format.name


def test_damage_in_the_middle_costs_pictures_but_not_the_film(tmp_path):
    path = write_film(tmp_path / 'a.mkv', seconds=2, codec='mjpeg', audio=None)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle:middle + 200] = bytes(200)
    path.write_bytes(content)
    with open_media(path) as container:
        count = len(list(decoded(container, container.streams.video[0])))
    assert 5 <= count <= 20


def test_packets_end_with_an_empty_one(film):
    with open_media(film) as container:
        sizes = [packet.size for packet in packets(container, container.streams.video[0])]
    assert len(sizes) == 71
    assert sizes[-1] == 0


def test_zero_time_is_where_the_recording_begins(tmp_path, film):
    with open_media(film) as container:
        assert zero_time(container) == 0
    stream = write_film(tmp_path / 'a.ts', seconds=1, fps=25, codec='mpeg2video', audio='mp2', start=9)
    with open_media(stream) as container:
        assert float(zero_time(container)) == pytest.approx(9, abs=0.1)


@pytest.mark.skipif(not os.path.isdir('/proc/self/fd'), reason='needs /proc to see the open files')
def test_file_is_closed_after_use(film):
    def times_open():
        links = [os.path.join('/proc/self/fd', number) for number in os.listdir('/proc/self/fd')]
        return sum(os.path.realpath(link) == str(film.resolve()) for link in links if os.path.lexists(link))

    with open_media(film):
        assert times_open() == 1
    assert times_open() == 0


def test_reason_is_short():
    av = import_av()
    assert reason(av.error.InvalidDataError(1, 'Invalid data found when processing input')) == (
        'invalid data found when processing input')
    assert reason(ValueError('Broken.\nmore')) == 'broken'
    assert reason(ValueError()) == 'valueerror'


def test_missing_pyav_is_named_with_the_command(monkeypatch):
    real = builtins.__import__

    def without_av(name, *args, **kwargs):
        if name == 'av':
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', without_av)
    with pytest.raises(ImportError, match=r'pip install -r requirements/video\.txt'):
        import_av()
