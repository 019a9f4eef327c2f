import numpy as np
import pytest

from mmavs.datasets.sounding_shapes import KINDS
from mmavs.datasets.sounding_shapes.timbre import background_noise, gate, source_sound
from mmavs.datasets.transforms import vggish_log_mel

RATE = 16000


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def rms_db(wave: np.ndarray) -> float:
    return 20 * np.log10(np.sqrt(np.mean(wave**2)))


def active(*flags: int) -> np.ndarray:
    return np.array(flags, dtype=bool)


def test_a_single_second_lies_in_its_own_example_only():
    for second in range(10):
        flags = np.zeros(10, dtype=bool)
        flags[second] = True
        gain = gate(flags)
        heard = np.flatnonzero(gain)
        assert heard[0] / RATE >= max(second, 0.96 * second)
        assert heard[-1] / RATE < min(second + 1, 0.96 * (second + 1))
        assert (gain == 1).sum() / RATE > 0.55


def test_a_source_that_goes_on_has_no_gap():
    gain = gate(active(1, 1, 1, 0, 0))
    assert (gain[200:int(0.96 * 3 * RATE) - 200] == 1).all()
    assert (gain[int(0.96 * 3 * RATE):] == 0).all()


def test_ramps_are_8_ms_long_and_nothing_jumps():
    gain = gate(active(0, 1, 0))
    assert np.abs(np.diff(gain)).max() <= 1 / 128 + 1e-9
    assert ((gain > 0) & (gain < 1)).sum() == pytest.approx(2 * 128, abs=4)


def test_silence_and_throughout():
    assert (gate(active(0, 0)) == 0).all()
    assert (gate(active(1, 1))[128:-5000] == 1).all()


@pytest.mark.parametrize('kind', KINDS)
def test_loudness_while_it_sounds(kind):
    wave = source_sound(kind, active(1, 1, 1, 1, 1), -20.0, 1.0, rng())
    assert wave.shape == (5 * RATE, )
    assert rms_db(wave[:int(4.8 * RATE)]) == pytest.approx(-20, abs=0.6)


@pytest.mark.parametrize('kind', KINDS)
def test_only_the_active_seconds_are_heard_in_the_log_mel(kind):
    loudness = vggish_log_mel(source_sound(kind, active(0, 1, 0, 0, 1), -20.0, 1.0, rng()), RATE).mean(axis=(1, 2))
    silence = np.log(0.01)
    assert loudness[[0, 2, 3]] == pytest.approx(silence, abs=1e-6)
    assert (loudness[[1, 4]] > silence + 0.1).all()


def profile(kind: str, pitch: float, loudness: float) -> np.ndarray:
    """Mean and spread over time of each mel band of second 0. Shape (128,)."""
    mel = vggish_log_mel(source_sound(kind, active(1), loudness, pitch, rng()), RATE)[0]
    return np.concatenate([mel.mean(axis=0), mel.std(axis=0)])


def test_timbres_are_told_apart_at_any_pitch_and_loudness():
    known = {kind: profile(kind, 1.0, -22.0) for kind in KINDS}
    for kind in KINDS:
        for pitch, loudness in ((0.95, -30.0), (0.95, -16.0), (1.05, -30.0), (1.05, -16.0)):
            heard = profile(kind, pitch, loudness)
            likeness = {name: np.corrcoef(heard, other)[0, 1] for name, other in known.items()}
            assert max(likeness, key=likeness.get) == kind


def test_pitch_moves_the_spectrum():
    low, high = (np.abs(np.fft.rfft(source_sound('circle', active(1), -20.0, pitch, rng()))).argmax()
                 for pitch in (0.95, 1.05))
    assert low == pytest.approx(330 * 0.95, abs=2)
    assert high == pytest.approx(330 * 1.05, abs=2)


def test_noise_has_the_asked_loudness_and_falls_by_3_db_an_octave():
    noise = background_noise(10, -50.0, rng())
    assert noise.shape == (10 * RATE, )
    assert rms_db(noise) == pytest.approx(-50, abs=1e-6)
    power = np.abs(np.fft.rfft(noise))**2
    frequency = np.fft.rfftfreq(len(noise), 1 / RATE)
    octaves = [power[(frequency >= low) & (frequency < 2 * low)].mean() for low in (500, 1000, 2000, 4000)]
    assert np.diff(10 * np.log10(octaves)) == pytest.approx([-3.01] * 3, abs=0.4)


def test_an_unknown_kind():
    with pytest.raises(ValueError, match="Unknown kind of shape 'blob'"):
        source_sound('blob', active(1), -20.0, 1.0, rng())
