"""VGGish's audio front end (Hershey et al., "CNN architectures for large-scale audio classification", ICASSP 2017)."""

from functools import lru_cache

import numpy as np
import soxr

# Raise it when the code below gives other numbers; changes of the constants are seen by themselves.
FRONT_END_VERSION = 1

SAMPLE_RATE = 16000
WINDOW = 400
HOP = 160
FFT_LENGTH = 512
MEL_BANDS = 64
MEL_LOW_HZ = 125.0
MEL_HIGH_HZ = 7500.0
LOG_OFFSET = 0.01
EXAMPLE_FRAMES = 96
LOG_MEL_SILENCE = float(np.log(LOG_OFFSET))


def front_end() -> str:
    """All that the numbers of this file depend on: its constants and the resampler. Part of the cache key."""
    constants = {name: value for name, value in globals().items() if name.isupper()}
    return repr(sorted(constants.items())) + f' soxr {soxr.__version__}'


def num_samples(num_examples: int) -> int:
    """Fewest samples at 16 kHz that give ``num_examples`` examples; 77040 for 5."""
    return (EXAMPLE_FRAMES * num_examples - 1) * HOP + WINDOW


def vggish_log_mel(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """Log-mel examples as VGGish wants them.

    Mono at 16 kHz; windows of 400 samples every 160, periodic Hann, FFT of 512, magnitude; 64 bands from 125 to
    7500 Hz, triangles linear in mel = 1127 ln(1 + f / 700), DC bin zero; log(mel + 0.01); examples of 96 windows every
    96, so example k begins at 0.96 k seconds. A rest shorter than an example is dropped.

    Args:
        waveform (np.ndarray): Floats in [-1, 1], shape (n,) or (n, channels); channels are averaged.
        sample_rate (int): In Hz; other rates than 16000 are resampled.

    Returns:
        np.ndarray: Shape (num_examples, 96, 64), float32; 5 examples for 5 s, 10 for 10 s, none below 0.975 s.

    Raises:
        As :func:`mono_sound`.
    """
    mono = mono_sound(waveform, sample_rate)
    windows = _windows(mono)
    magnitude = np.abs(np.fft.rfft(windows * _hann(), n=FFT_LENGTH, axis=1))
    log_mel = np.log(magnitude @ mel_weights() + LOG_OFFSET)
    count = len(log_mel) // EXAMPLE_FRAMES
    return log_mel[:count * EXAMPLE_FRAMES].reshape(count, EXAMPLE_FRAMES, MEL_BANDS).astype(np.float32)


def mono_sound(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """The sound as VGGish hears it: mono, at 16 kHz.

    Args:
        waveform (np.ndarray): Floats in [-1, 1], shape (n,) or (n, channels); channels are averaged.
        sample_rate (int): In Hz; other rates than 16000 are resampled.

    Returns:
        np.ndarray: Shape (m,), float64.

    Raises:
        TypeError: Integer samples.
        ValueError: Not (n,) or (n, channels), a rate that is not positive, or values that are not finite.
    """
    waveform = np.asarray(waveform)
    if not np.issubdtype(waveform.dtype, np.floating):
        raise TypeError(f'vggish_log_mel: waveform must be floats in [-1, 1], got {waveform.dtype}; '
                        'divide int16 samples by 32768.')
    if waveform.ndim not in (1, 2):
        raise ValueError(f'vggish_log_mel: waveform must be of shape (n,) or (n, channels), got {waveform.shape}.')
    if sample_rate <= 0:
        raise ValueError(f'vggish_log_mel: sample_rate must be above 0 Hz, got {sample_rate}.')
    if not np.isfinite(waveform).all():
        raise ValueError('vggish_log_mel: waveform has values that are NaN or infinite.')
    mono = waveform.astype(np.float64)
    if mono.ndim == 2:
        mono = mono.mean(axis=1)
    if sample_rate != SAMPLE_RATE and len(mono):
        # librosa.resample gives the same numbers, but compiles for seconds in every worker that first calls it.
        mono = soxr.resample(mono, sample_rate, SAMPLE_RATE, quality='HQ')
    return mono


def _windows(mono: np.ndarray) -> np.ndarray:
    """Overlapping windows of a signal (n,): shape (1 + (n - 400) // 160, 400), none for less than 400 samples."""
    if len(mono) < WINDOW:
        return np.empty((0, WINDOW))
    return np.lib.stride_tricks.sliding_window_view(mono, WINDOW)[::HOP]


@lru_cache(maxsize=1)
def _hann() -> np.ndarray:
    """Periodic Hann window, shape (400,)."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)


@lru_cache(maxsize=1)
def mel_weights() -> np.ndarray:
    """Share of each FFT bin in each mel band, shape (257, 64), float64."""

    def mel(hertz: np.ndarray | float) -> np.ndarray:
        return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)

    bins = mel(np.linspace(0, SAMPLE_RATE / 2, FFT_LENGTH // 2 + 1))[:, None]
    edges = np.linspace(mel(MEL_LOW_HZ), mel(MEL_HIGH_HZ), MEL_BANDS + 2)
    rise = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0.0, np.minimum(rise, fall))
    weights[0] = 0.0
    weights.setflags(write=False)
    return weights
