"""A clip's sound for a browser: mono at 16 kHz, which is what the network hears of it."""

from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile
import soxr

from mmavs.visualization.files import write_bytes

SAMPLE_RATE = 16000


def read_sound(path: str | Path, seconds: float) -> np.ndarray:
    """Read the beginning of a sound file as mono at 16 kHz.

    Args:
        path: File of any rate and number of channels that libsndfile reads; channels are averaged.
        seconds: Length to keep. A shorter sound is not padded.

    Returns:
        Samples in [-1, 1]. Shape (n,) with n at most ``seconds * 16000``, float32.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no sound.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'sound {path} does not exist.')
    try:
        with soundfile.SoundFile(str(path)) as file:
            # A second more, so that the resampler sees past the end.
            samples = file.read(int((seconds + 1) * file.samplerate), dtype='float32', always_2d=True)
            rate = file.samplerate
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise ValueError(f'{path} is not a sound that libsndfile can read: {error}') from error
    mono = samples.mean(axis=1)
    if rate != SAMPLE_RATE and len(mono):
        mono = soxr.resample(mono, rate, SAMPLE_RATE)
    return np.nan_to_num(mono[:round(seconds * SAMPLE_RATE)]).clip(-1, 1)


def write_sound(path: Path, samples: np.ndarray) -> None:
    """Write mono samples at 16 kHz as a 16-bit WAV file, in one step.

    Args:
        path: Target.
        samples: In [-1, 1]. Shape (n,).
    """
    buffer = BytesIO()
    soundfile.write(buffer, samples, SAMPLE_RATE, format='WAV', subtype='PCM_16')
    write_bytes(path, buffer.getvalue())
