import math

import numpy as np
import pytest

from mmavs.datasets.transforms import vggish_log_mel
from mmavs.datasets.transforms.log_mel import LOG_MEL_SILENCE, mel_weights, num_samples

RATE = 16000


def slow_mel(hertz: float) -> float:
    return 1127.0 * math.log(1.0 + hertz / 700.0)


def slow_weight(frequency_bin: int, band: int) -> float:
    """Weight of one FFT bin in one mel band, from the definition."""
    if frequency_bin == 0:
        return 0.0
    low, high = slow_mel(125.0), slow_mel(7500.0)
    left, centre, right = (low + (high - low) * (band + k) / 65 for k in range(3))
    here = slow_mel(frequency_bin * 8000.0 / 256)
    return max(0.0, min((here - left) / (centre - left), (right - here) / (right - centre)))


def slow_window(samples: np.ndarray) -> list[float]:
    """Log-mel of one window of 400 samples, by a direct Fourier sum."""
    weighted = [value * (0.5 - 0.5 * math.cos(2 * math.pi * n / 400)) for n, value in enumerate(samples.tolist())]
    magnitude = []
    for k in range(257):
        total = sum(value * complex(math.cos(2 * math.pi * k * n / 512), -math.sin(2 * math.pi * k * n / 512))
                    for n, value in enumerate(weighted))
        magnitude.append(abs(total))
    return [math.log(sum(magnitude[k] * slow_weight(k, band) for k in range(257)) + 0.01) for band in range(64)]


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, int(seconds * RATE))


def test_mel_weights_against_the_definition():
    expected = np.array([[slow_weight(k, band) for band in range(64)] for k in range(257)])
    assert np.abs(mel_weights() - expected).max() < 1e-12
    assert mel_weights()[0].sum() == 0
    # Linear in mel: the triangles of two neighbouring bands share a bin and add up to 1.
    assert mel_weights()[10:230].sum(axis=1) == pytest.approx(1.0)


def test_numbers_against_a_slow_transcription():
    wave = noise(2.5)
    log_mel = vggish_log_mel(wave, RATE)
    assert (log_mel.shape, log_mel.dtype) == ((2, 96, 64), np.float32)
    for example, window in ((0, 0), (0, 57), (1, 0), (1, 95)):
        start = (96 * example + window) * 160
        assert log_mel[example, window] == pytest.approx(slow_window(wave[start:start + 400]), abs=2e-6)


@pytest.mark.parametrize(('seconds', 'examples'), [(5, 5), (10, 10), (0.97, 0), (0.975, 1), (0, 0), (0.02, 0)])
def test_number_of_examples(seconds, examples):
    assert vggish_log_mel(np.zeros(round(seconds * RATE)), RATE).shape == (examples, 96, 64)


def test_fewest_samples():
    assert num_samples(5) == 77040
    for count in (1, 5, 10):
        assert len(vggish_log_mel(np.zeros(num_samples(count)), RATE)) == count
        assert len(vggish_log_mel(np.zeros(num_samples(count) - 1), RATE)) == count - 1


def test_silence():
    assert pytest.approx(-4.60517, abs=1e-5) == LOG_MEL_SILENCE
    assert vggish_log_mel(np.zeros(RATE), RATE) == pytest.approx(LOG_MEL_SILENCE)


def test_a_tone_stands_in_its_band():
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    band = vggish_log_mel(tone, RATE)[0].mean(axis=0).argmax()
    centre = slow_mel(125) + (slow_mel(7500) - slow_mel(125)) * (band + 1) / 65
    assert abs(centre - slow_mel(1000)) < 25


def test_example_k_begins_at_0_96_k_seconds():
    wave = np.zeros(5 * RATE)
    wave[int(0.96 * 3 * RATE):int(0.96 * 4 * RATE)] = noise(0.96)[:15360]
    loudness = vggish_log_mel(wave, RATE).mean(axis=(1, 2))
    assert loudness.argmax() == 3
    # Window 95 of example 2 ends 240 samples after the noise begins.
    assert loudness[[0, 1, 4]] == pytest.approx(LOG_MEL_SILENCE)


def test_channels_are_averaged():
    stereo = np.stack([noise(1, 0), noise(1, 1)], axis=1)
    assert np.array_equal(vggish_log_mel(stereo, RATE), vggish_log_mel(stereo.mean(axis=1), RATE))


@pytest.mark.parametrize('rate', [8000, 22050, 44100, 48000])
def test_other_rates_are_resampled(rate):
    t = np.arange(5 * rate) / rate
    tones = 0.3 * np.sin(2 * np.pi * 440 * t) + 0.2 * np.sin(2 * np.pi * 2000 * t)
    t = np.arange(5 * RATE) / RATE
    expected = vggish_log_mel(0.3 * np.sin(2 * np.pi * 440 * t) + 0.2 * np.sin(2 * np.pi * 2000 * t), RATE)
    found = vggish_log_mel(tones, rate)
    assert found.shape == expected.shape
    # Away from the ends, where resampling rings, and where there is energy.
    loud = expected[1:4] > 0
    assert loud.sum() > 1000
    assert np.abs(found[1:4] - expected[1:4])[loud].max() < 0.02


def test_float32_and_float64_agree():
    wave = noise(1).astype(np.float32)
    assert np.array_equal(vggish_log_mel(wave, RATE), vggish_log_mel(wave.astype(np.float64), RATE))


@pytest.mark.parametrize(('wave', 'rate', 'error', 'message'), [
    (np.zeros(RATE, dtype=np.int16), RATE, TypeError, 'divide int16 samples by 32768'),
    (np.zeros((2, 3, 4)), RATE, ValueError, r'\(n,\) or \(n, channels\), got \(2, 3, 4\)'),
    (np.zeros(RATE), 0, ValueError, 'sample_rate must be above 0 Hz, got 0'),
    (np.full(RATE, np.nan), RATE, ValueError, 'NaN or infinite'),
    (np.full(RATE, np.inf), RATE, ValueError, 'NaN or infinite')])
def test_bad_input(wave, rate, error, message):
    with pytest.raises(error, match=message):
        vggish_log_mel(wave, rate)
