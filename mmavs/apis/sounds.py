"""Sound by windows of time, from a file, from memory, or silent."""

from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np

from .audio_reader import AudioReader
from .media_file import MediaError, NoSoundError

AUDIO_CHOICES = ('require', 'silence')
SILENCE_RATE = 16000
# More channels than any recording has: an array with more of them has its axes the wrong way round.
MOST_CHANNELS = 64


class Sound(Protocol):
    """Mono sound by windows of time, see :class:`AudioReader`."""

    rate: int

    def read(self, start: float | Fraction, end: float | Fraction) -> np.ndarray:
        """Samples of a window; shape (n,), float32."""

    def close(self) -> None:
        """Free what is held."""


class SampledSound:
    """Sound held in memory; zeros outside it, mirrored before second 0 as by :class:`AudioReader`.

    Args:
        samples: Shape (n,), float32, in [-1, 1].
        rate: Samples per second.
    """

    def __init__(self, samples: np.ndarray, rate: int) -> None:
        self.samples, self.rate = samples, rate

    def read(self, start: float | Fraction, end: float | Fraction) -> np.ndarray:
        """Samples from second ``start`` to second ``end``; shape (n,), float32."""
        first, last = round(start * self.rate), round(end * self.rate)
        lead, first = max(0, -first), max(0, first)
        window = self.samples[first:last]
        window = np.pad(window, (0, last - first - len(window)))
        return np.pad(window, (lead, 0), mode='reflect') if lead else window

    def close(self) -> None:
        """Nothing is held open."""


def open_sound(path: Path, history: float, audio: str) -> Sound:
    """The sound of a file, or silence where it has none and ``audio='silence'``.

    Raises:
        NoSoundError: If it has none and ``audio='require'``; the message names the file.
    """
    try:
        return AudioReader(path, history)
    except MediaError as error:
        if audio == 'silence':
            return SampledSound(np.empty(0, np.float32), SILENCE_RATE)
        raise NoSoundError(f"{str(error).rstrip('.')}; pass audio='silence' to take it as silent.") from None


def check_audio(audio: str) -> str:
    """The option itself.

    Raises:
        ValueError: If it is not one of ``AUDIO_CHOICES``.
    """
    if audio not in AUDIO_CHOICES:
        raise ValueError(f'audio={audio!r} must be one of {", ".join(AUDIO_CHOICES)}.')
    return audio


def to_mono(waveform: np.ndarray, rate: int | None, name: str) -> np.ndarray:
    """Mean of the channels of an array (n,) or (n, channels).

    Returns:
        Shape (n,), float32.

    Raises:
        TypeError: Integer samples.
        ValueError: Another shape, more than 64 channels, no rate, or values that are not finite; the message names the
            clip.
    """
    waveform = np.asarray(waveform)
    if not np.issubdtype(waveform.dtype, np.floating):
        raise TypeError(f'The waveform of {name} is {waveform.dtype}; expected floats in [-1, 1] (int16 / 32768).')
    if waveform.ndim not in (1, 2):
        raise ValueError(f'The waveform of {name} has shape {waveform.shape}; expected (n,) or (n, channels).')
    if waveform.ndim == 2 and not 1 <= waveform.shape[1] <= MOST_CHANNELS:
        raise ValueError(f'The waveform of {name} has shape {waveform.shape}, which is {waveform.shape[1]} channels; '
                         'pass (n, channels), e.g. its transpose.')
    if not rate or rate <= 0:
        raise ValueError(f'The sample rate of {name} is {rate!r}; expected Hz above 0.')
    if not np.isfinite(waveform).all():
        raise ValueError(f'The waveform of {name} has values that are NaN or infinite.')
    return (waveform.mean(axis=1) if waveform.ndim == 2 else waveform).astype(np.float32)
