"""The timbre of each kind of shape, at 16 kHz. Time is in seconds, frequencies are in Hz."""

from collections.abc import Callable

import numpy as np

SAMPLE_RATE = 16000
# VGGish's examples begin every 0.96 s, frames come every 1 s: a sound that starts at second k and, where it does not go
# on, ends at 0.96 (k + 1), is heard in example k and in no other.
EXAMPLE_SECONDS = 0.96
_RAMP_SECONDS = 0.008


def _strikes(t: np.ndarray, rate: float, decay: float) -> np.ndarray:
    """Envelope of blows: ``rate`` a second, the first at each whole second, falling by 1/e in ``decay`` seconds."""
    since = np.mod(t, 1 / rate)
    return np.exp(-since / decay) * (1 - np.exp(-since / 0.003))


def _band_noise(t: np.ndarray, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    spectrum = np.fft.rfft(rng.standard_normal(len(t)))
    frequency = np.fft.rfftfreq(len(t), 1 / SAMPLE_RATE)
    spectrum[(frequency < low) | (frequency > high)] = 0
    return np.fft.irfft(spectrum, len(t))


def _gliding_tone(t: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE)


def _harmonics(t: np.ndarray, f0: float, weights: dict[float, float]) -> np.ndarray:
    return sum(weight * np.sin(2 * np.pi * f0 * n * t) for n, weight in weights.items())


def _circle(t: np.ndarray, pitch: float, rng: np.random.Generator) -> np.ndarray:
    return _harmonics(t, 330 * pitch, {1: 1.0, 2: 0.25}) * (1 + 0.3 * np.sin(2 * np.pi * 5 * t))


def _square(t: np.ndarray, pitch: float, rng: np.random.Generator) -> np.ndarray:
    return _harmonics(t, 560 * pitch, {1: 1.0, 3: 0.6, 5: 0.4})


def _triangle(t: np.ndarray, pitch: float, rng: np.random.Generator) -> np.ndarray:
    return _gliding_tone(t, pitch * (2150 + 120 * np.sin(2 * np.pi * 6 * t)))


def _star(t: np.ndarray, pitch: float, rng: np.random.Generator) -> np.ndarray:
    return _harmonics(t, 2500 * pitch, {1: 1.0, 1.22: 0.8, 1.43: 0.6}) * _strikes(t, 5, 0.07)


def _cross(t: np.ndarray, pitch: float, rng: np.random.Generator) -> np.ndarray:
    return _band_noise(t, 5500 * pitch, 7300 * pitch, rng) * (np.mod(t * 8, 1) < 0.45)


def _ring(t: np.ndarray, pitch: float, rng: np.random.Generator) -> np.ndarray:
    return _band_noise(t, 3900 * pitch, 4900 * pitch, rng)


def _heart(t: np.ndarray, pitch: float, rng: np.random.Generator) -> np.ndarray:
    return np.sin(2 * np.pi * 185 * pitch * t) * _strikes(t, 4, 0.1)


def _crescent(t: np.ndarray, pitch: float, rng: np.random.Generator) -> np.ndarray:
    return _gliding_tone(t, pitch * 780 * 2**np.mod(3 * t, 1))


_TIMBRES: dict[str, Callable] = {
    'circle': _circle, 'square': _square, 'triangle': _triangle, 'star': _star, 'cross': _cross, 'ring': _ring,
    'heart': _heart, 'crescent': _crescent}


def gate(active: np.ndarray) -> np.ndarray:
    """When a source is on, with ramps of 8 ms.

    Args:
        active (np.ndarray): Shape (T,), bool: whether the source sounds in second k.

    Returns:
        np.ndarray: Gain in 0..1, shape (T * 16000,): on from k to k + 1 where the next second is active too, else to
        0.96 (k + 1).
    """
    gain = np.zeros(len(active) * SAMPLE_RATE)
    for second in np.flatnonzero(active):
        goes_on = second + 1 < len(active) and active[second + 1]
        stop = second + 1 if goes_on else EXAMPLE_SECONDS * (second + 1)
        gain[second * SAMPLE_RATE:int(stop * SAMPLE_RATE)] = 1
    ramp = int(_RAMP_SECONDS * SAMPLE_RATE)
    total = np.concatenate([[0.0], np.cumsum(gain)])
    here = np.arange(len(gain))
    rise = (total[1:] - total[np.maximum(here - ramp + 1, 0)]) / np.minimum(here + 1, ramp)
    fall = (total[np.minimum(here + ramp, len(gain))] - total[here]) / np.minimum(len(gain) - here, ramp)
    # Both ramps lie inside the second that is on, so nothing is heard before or after it.
    return gain * np.minimum(rise, fall)


def source_sound(kind: str, active: np.ndarray, loudness: float, pitch: float, rng: np.random.Generator) -> np.ndarray:
    """The sound of one kind over a clip.

    Args:
        kind (str): One of ``KINDS``.
        active (np.ndarray): Shape (T,), bool: the seconds in which it sounds.
        loudness (float): RMS while it sounds, in dB below full scale (negative).
        pitch (float): Factor on its frequencies, about 1.
        rng (np.random.Generator): Source of the noise.

    Returns:
        np.ndarray: Shape (T * 16000,), float.

    Raises:
        ValueError: Unknown kind.
    """
    if kind not in _TIMBRES:
        raise ValueError(f'Unknown kind of shape {kind!r}; the kinds with a timbre are {list(_TIMBRES)}.')
    t = np.arange(len(active) * SAMPLE_RATE) / SAMPLE_RATE
    sound = _TIMBRES[kind](t, pitch, rng)
    return sound * gate(active) * (10**(loudness / 20) / np.sqrt(np.mean(sound**2)))


def background_noise(seconds: int, loudness: float, rng: np.random.Generator) -> np.ndarray:
    """Noise that falls by 3 dB an octave, of the given RMS (dB below full scale). Shape (seconds * 16000,)."""
    spectrum = np.fft.rfft(rng.standard_normal(seconds * SAMPLE_RATE))
    frequency = np.fft.rfftfreq(seconds * SAMPLE_RATE, 1 / SAMPLE_RATE)
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(frequency, 50)), seconds * SAMPLE_RATE)
    return noise * (10**(loudness / 20) / np.sqrt(np.mean(noise**2)))
