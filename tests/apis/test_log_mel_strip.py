import numpy as np
import pytest

from mmavs.apis.log_mel_strip import HEAD_COLOUR, LogMelStrip
from mmavs.apis.sounds import SampledSound


def clicks(*seconds, length=25, rate=16000):
    """Silence with a burst of noise at each of the given seconds."""
    samples = np.zeros(length * rate, np.float32)
    for second in seconds:
        samples[round(second * rate):][:rate // 10] = np.random.default_rng(0).uniform(-1, 1, rate // 10)
    return SampledSound(samples, rate)


def bright(strip):
    """Columns where the sound is loud, without the play-head."""
    level = strip[4:].astype(int).sum(axis=2).mean(axis=0)
    head = (strip == HEAD_COLOUR).all(axis=2).all(axis=0)
    return set(np.flatnonzero((level > 300) & ~head))


def test_sound_stands_where_it_is_heard():
    strip = LogMelStrip(clicks(4, 13), width=200, height=24)
    picture = strip.at(0)
    assert picture.shape == (24, 200, 3)
    assert picture.dtype == np.uint8
    # 20 columns are a second: the burst lies from 4.0 to 4.1 s.
    assert bright(picture)
    assert bright(picture) <= {79, 80, 81, 82, 83}
    assert bright(strip.at(10)) <= {59, 60, 61, 62, 63}


def test_play_head_moves_and_turns_the_page():
    strip = LogMelStrip(clicks(4), width=200, height=24)
    for seconds, column in ((0, 0), (2.5, 50), (9.999, 199), (10, 0), (17, 140)):
        picture = strip.at(seconds)
        heads = np.flatnonzero((picture == HEAD_COLOUR).all(axis=2).all(axis=0))
        assert heads.tolist() == [column] == [strip.head(seconds)]


def test_each_page_is_painted_once():
    sound, reads = clicks(4), []
    strip = LogMelStrip(sound, width=200, height=24)
    real = sound.read
    sound.read = lambda start, end: reads.append((start, end)) or real(start, end)
    for seconds in np.arange(0, 25, 0.2):
        strip.at(seconds)
    assert reads == [(0, 11), (10, 21), (20, 31)]


def test_ticks_and_time(monkeypatch):
    plain = LogMelStrip(clicks(), width=100, height=24).at(5)
    ticks = np.flatnonzero(plain[0].sum(axis=1) >= 600)
    assert ticks.tolist() == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]
    labelled = LogMelStrip(clicks(length=80), width=320, height=40)
    first, second = labelled.at(5)[12:, :60], labelled.at(75)[12:, :60]
    assert not np.array_equal(first, second)
    # Digits of a font of 13 pixels are 9 pixels high, above the lower edge.
    rows = np.flatnonzero((second.min(axis=2) > 150).any(axis=1))
    assert rows[-1] - rows[0] + 1 == 9
    assert rows[-1] < len(second) - 3


@pytest.mark.parametrize('width', [8, 64, 1919])
def test_any_width(width):
    strip = LogMelStrip(clicks(1), width=width, height=25)
    assert strip.at(9.99).shape == (25, width, 3)
