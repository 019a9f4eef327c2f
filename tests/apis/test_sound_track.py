from fractions import Fraction

import av
import numpy as np
import pytest

from mmavs.apis.audio_reader import AudioReader
from mmavs.apis.film_writer import FilmWriter, _can_encode
from mmavs.apis.media_file import MediaError
from mmavs.apis.sound_track import COPIED, SoundTrack

from .media import picture, read_pictures, read_sound, write_film


def transfer(source, target):
    """Write a film that has only the sound of another one."""
    with av.open(str(target), 'w', options={'strict': 'experimental'}) as output:
        track = SoundTrack(source, output, target.suffix)
        track.write_until(None)
        track.close()
    return track


def packets_of(path):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.mark.parametrize(('source', 'audio', 'rate', 'target'), [
    ('a.mp4', 'aac', 16000, 'b.mp4'), ('a.mkv', 'flac', 16000, 'b.mkv'), ('a.mkv', 'libmp3lame', 44100, 'b.mp4'),
    ('a.mov', 'pcm_s16le', 8000, 'b.mov'), ('a.mkv', 'libopus', 48000, 'b.webm')])
def test_packets_are_copied(tmp_path, source, audio, rate, target):
    source = write_film(tmp_path / source, seconds=2, codec='mpeg4', audio=audio, rate=rate)
    assert transfer(source, tmp_path / target).copied
    if audio != 'pcm_s16le':
        assert packets_of(tmp_path / target) == packets_of(source)
    old, new = read_sound(source)[0], read_sound(tmp_path / target)[0]
    assert abs(len(old) - len(new)) <= 2048
    # Matroska rounds times to a millisecond, and so the place where a codec's run-up is cut off.
    shifts = range(rate // 1000 + 1 if source.suffix == '.mkv' else 1)
    middle = slice(4000, 12000)
    assert any(np.array_equal(old[middle], np.roll(new, -shift)[middle]) or
               np.array_equal(new[middle], np.roll(old, -shift)[middle]) for shift in shifts)


@pytest.mark.parametrize(('source', 'audio', 'rate', 'layout', 'target'), [
    ('a.avi', 'pcm_s16le', 16000, 'mono', 'b.mp4'), ('a.mkv', 'libopus', 48000, 'stereo', 'b.m4v'),
    ('a.mp4', 'aac', 44100, 'stereo', 'b.webm'), ('a.mkv', 'pcm_s16le', 37800, 'mono', 'b.mp4'),
    ('a.mkv', 'flac', 48000, '5.1', 'b.webm')])
def test_other_sound_is_encoded_anew(tmp_path, source, audio, rate, layout, target):
    source = write_film(tmp_path / source, seconds=2, codec='mpeg4', audio=audio, rate=rate, layout=layout)
    assert not transfer(source, tmp_path / target).copied
    old, new = read_sound(source), read_sound(tmp_path / target)
    seconds = np.arange(0.2, 1.7, 1 / 8000)
    # Opus and AAC start with a run-up that decoders cut off; the time of what is left may differ by a few samples.
    best = max(np.corrcoef(old[0][(seconds * old[1]).astype(int)],
                           new[0][((seconds + shift) * new[1]).astype(int)])[0, 1]
               for shift in np.arange(-48, 49) / new[1])
    assert best > 0.99


@pytest.mark.parametrize(('suffix', 'codec'), [(suffix, codec) for suffix, codecs in COPIED.items()
                                               for codec in sorted(codecs)])
def test_every_copied_codec_is_taken_by_its_container(tmp_path, suffix, codec):
    encoder = {'mp3': 'libmp3lame', 'opus': 'libopus', 'vorbis': 'libvorbis', 'dts': 'dca'}.get(codec, codec)
    if not _can_encode(encoder):
        pytest.skip(f'this FFmpeg has no encoder {encoder}')
    source = write_film(tmp_path / ('a.mov' if 'be' in codec else 'a.mkv'), seconds=1, audio=encoder, rate=48000,
                        layout='stereo')
    assert transfer(source, tmp_path / f'b{suffix}').copied
    assert abs(len(read_sound(tmp_path / f'b{suffix}')[0]) - 48000) < 3000


def heard(path, seconds):
    """The sound by the film's own clock, at 8 kHz."""
    reader = AudioReader(path, history=seconds)
    sound = reader.read(0, seconds)
    reader.close()
    return sound[(np.arange(0, seconds, 1 / 8000) * reader.rate).astype(int)]


def correlation(old, new, start, end):
    """The best one over shifts of up to a millisecond, to which Matroska rounds times."""
    middle = slice(round(start * 8000), round(end * 8000))
    return max(np.corrcoef(old[middle], np.roll(new, shift)[middle])[0, 1] for shift in range(-8, 9))


@pytest.mark.parametrize('suffix', list(COPIED))
@pytest.mark.parametrize(('source', 'audio', 'rate'), [
    ('a.mp4', 'aac', 44100), ('a.mkv', 'aac', 44100), ('a.mp4', 'libmp3lame', 44100), ('a.mp4', 'libopus', 48000),
    ('a.mkv', 'libopus', 48000), ('a.mkv', 'ac3', 48000), ('a.mkv', 'flac', 16000), ('a.mov', 'pcm_s16le', 8000)])
def test_sound_and_picture_begin_together_in_every_film(tmp_path, source, audio, rate, suffix):
    source = write_film(tmp_path / source, seconds=2.5, audio=audio, rate=rate)
    target = tmp_path / f'b{suffix}'
    with FilmWriter(target, (48, 64), Fraction(10), sound_of=source) as film:
        for index in range(25):
            film.write(picture(index), Fraction(index, 10))
    assert read_pictures(target)[0][0] == 0
    assert correlation(heard(source, 2.4), heard(target, 2.4), 0.1, 2.3) > 0.99


@pytest.mark.parametrize(('first', 'second'), [
    ((44100, 'stereo'), (48000, 'mono')), ((32000, 'mono'), (44100, 'stereo')), ((48000, 'mono'), (48000, 'stereo'))])
@pytest.mark.parametrize(('audio', 'target', 'copied'), [
    ('mp2', 'b.mp4', False), ('ac3', 'b.webm', False), ('ac3', 'b.mp4', True), ('aac', 'b.mkv', False),
    ('aac', 'b.mp4', False)])
def test_sound_may_change_its_format_on_the_way(tmp_path, first, second, audio, target, copied):
    source = tmp_path / 'a.ts'
    for start, (rate, layout) in ((1, first), (3, second)):
        part = write_film(tmp_path / 'part.ts', seconds=2, fps=25, codec='mpeg2video', audio=audio, rate=rate,
                          layout=layout, start=start)
        with open(source, 'ab') as whole:
            whole.write(part.read_bytes())
    assert transfer(source, tmp_path / target).copied == copied
    old, new = heard(source, 3.9), heard(tmp_path / target, 3.9)
    for start in (0.1, 2.2):
        assert correlation(old, new, start, start + 1.6) > 0.99


def test_sound_is_written_up_to_a_time(tmp_path, film):
    with av.open(str(tmp_path / 'b.mp4'), 'w') as output:
        track = SoundTrack(film, output, '.mp4')
        track.write_until(Fraction(2))
        # Packets of 64 ms, the first of them the run-up.
        assert 2 < float(track._next[0]) < 2.1
        track.write_until(None)
        assert track._next is None
        track.close()


def test_times_begin_at_zero(tmp_path):
    source = write_film(tmp_path / 'a.ts', seconds=2, fps=25, codec='mpeg2video', audio='aac', rate=44100, start=9)
    transfer(source, tmp_path / 'b.mp4')
    with av.open(str(tmp_path / 'b.mp4')) as container:
        stream = container.streams.audio[0]
        assert -0.1 < float(stream.start_time * stream.time_base) < 0.1
        assert float(stream.duration * stream.time_base) == pytest.approx(2, abs=0.1)


def test_film_without_sound(tmp_path, silent_film):
    with av.open(str(tmp_path / 'b.mp4'), 'w') as output, pytest.raises(MediaError, match='no audio stream'):
        SoundTrack(silent_film, output, '.mp4')
