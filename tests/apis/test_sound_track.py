from fractions import Fraction

import av
import numpy as np
import pytest

from mmavs.apis.media_file import MediaError
from mmavs.apis.sound_track import SoundTrack

from .media import read_sound, write_film


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
