from fractions import Fraction

import numpy as np
import pytest

from mmavs.apis.clips import ClipPlan, cut_clips
from mmavs.apis.instants import instant, phases
from mmavs.apis.sounds import SampledSound


class Numbers:
    """A recording whose frames hold their own index and whose sound holds its own time in seconds."""

    def __init__(self, count, fps=1):
        self.name, self.fps, self.size, self.count, self.read = 'numbers', fps, (1, 1), count, 0

    def frames(self):
        for index in range(self.count):
            self.read += 1
            yield instant(index, phases(self.fps)), np.full((1, 1, 3), index, np.uint8)

    def sound(self, history):
        self.history = history
        return SampledSound(np.arange(self.count * 16 + 160, dtype=np.float32) / 16, rate=16)


def cut(count, seconds, overlap=0, fps=1):
    return list(cut_clips(Numbers(count, fps), ClipPlan(seconds, overlap), lambda picture: picture))


def indices(clips):
    return [clip.indices for clip in clips]


def test_clips_follow_each_other():
    clips = cut(10, 5)
    assert indices(clips) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert [clip.settled for clip in clips] == [5, 10]
    assert [int(frame[0, 0, 0]) for frame in clips[1].frames] == [5, 6, 7, 8, 9]
    assert clips[1].times == [k + Fraction(15, 16) for k in range(5, 10)]
    assert (clips[1].waveform[0], clips[1].waveform[-1], len(clips[1].waveform)) == (5, 10 - 1 / 16, 80)
    assert (clips[0].name, clips[0].rate) == ('numbers', 16)


def test_the_last_clip_is_as_long_as_the_others():
    clips = cut(7, 5)
    assert indices(clips) == [[0, 1, 2, 3, 4], [2, 3, 4, 5, 6]]
    assert clips[1].waveform[0] == 2
    assert [clip.settled for clip in clips] == [5, 7]


def test_short_recordings_are_one_short_clip():
    assert indices(cut(3, 5)) == [[0, 1, 2]]
    assert len(cut(3, 5)[0].waveform) == 48
    assert indices(cut(1, 10)) == [[0]]
    assert cut(0, 5) == []


def test_overlap():
    clips = cut(11, 5, overlap=2)
    assert indices(clips) == [[0, 1, 2, 3, 4], [3, 4, 5, 6, 7], [6, 7, 8, 9, 10]]
    assert [clip.settled for clip in clips] == [3, 6, 11]


@pytest.mark.parametrize('count', [1, 4, 5, 6, 9, 10, 13, 21])
@pytest.mark.parametrize(('seconds', 'overlap'), [(5, 0), (5, 3), (5, 4), (10, 4), (1, 0)])
@pytest.mark.parametrize('fps', [1, 3])
def test_every_instant_is_covered_and_then_settled(count, seconds, overlap, fps):
    seen = set()
    for clip in cut(count, seconds, overlap, fps):
        seen |= set(clip.indices)
        assert set(range(clip.settled)) <= seen
        assert np.diff(clip.indices).tolist() == [fps] * (len(clip.indices) - 1)
        assert len(clip.waveform) == len(clip.indices) * clip.rate
    assert seen == set(range(count))
    assert clip.settled == count


def test_each_phase_is_a_clip_with_frames_one_second_apart():
    clips = cut(12, 3, fps=2)
    assert indices(clips) == [[0, 2, 4], [1, 3, 5], [6, 8, 10], [7, 9, 11]]
    assert [clip.settled for clip in clips] == [0, 6, 0, 12]
    # Phase 0 is half a second before phase 1, and so is its sound: every frame hears the same second around it.
    assert clips[2].waveform[0] == 2.5
    assert clips[3].waveform[0] == 3
    for clip in clips[2:]:
        for place, time in enumerate(clip.times):
            assert clip.waveform[place * 16 + 15] == pytest.approx(float(time), abs=1 / 16)


def test_sound_before_the_beginning_is_mirrored():
    first = cut(12, 3, fps=2)[0]
    assert first.waveform[:8].tolist() == [(8 - k) / 16 for k in range(8)]
    assert first.waveform[8] == 0


def test_partial_last_second():
    assert indices(cut(7, 3, fps=4)) == [[0, 4], [1, 5], [2, 6], [3]]


def test_frames_are_read_only_as_clips_are_asked_for():
    source = Numbers(100)
    clips = cut_clips(source, ClipPlan(5), lambda picture: picture)
    next(clips)
    assert source.read == 6
    assert source.history >= 10


def test_sound_is_closed(monkeypatch):
    closed = []
    monkeypatch.setattr(SampledSound, 'close', lambda self: closed.append(self))
    clips = cut_clips(Numbers(100), ClipPlan(5), lambda picture: picture)
    next(clips)
    clips.close()
    assert len(closed) == 1


@pytest.mark.parametrize(('plan', 'message'), [
    (dict(seconds=0), 'clip seconds=0 must be a whole number of seconds, 1 to 60'),
    (dict(seconds=2.5), 'clip seconds=2.5'),
    (dict(seconds=5, overlap=5), 'clip overlap=5 must be a whole number of seconds, 0 to 4'),
    (dict(overlap=-1), 'clip overlap=-1')])
def test_wrong_plans(plan, message):
    with pytest.raises(ValueError, match=message):
        ClipPlan(**plan)
