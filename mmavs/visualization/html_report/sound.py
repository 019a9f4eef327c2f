"""A clip's sound for a browser or a player: mono at 16 kHz, which is what the network hears of it."""

from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile

from mmavs.visualization.files import write_bytes

SAMPLE_RATE = 16000


def write_sound(path: Path, samples: np.ndarray) -> None:
    """Write mono samples at 16 kHz as a 16-bit WAV file, in one step.

    Args:
        path: Target. Its folder is made when missing.
        samples: Values outside of [-1, 1] are clipped (by libsndfile). Shape (n,).
    """
    buffer = BytesIO()
    soundfile.write(buffer, samples, SAMPLE_RATE, format='WAV', subtype='PCM_16')
    write_bytes(path, buffer.getvalue())
