"""Log-mels kept on disk: one file per sound, safe with many writers and with writers that are killed."""

import hashlib
import logging
import os
import tempfile
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from .log_mel import EXAMPLE_FRAMES, FRONT_END_VERSION, MEL_BANDS


class LogMelCache:
    """Maps the content of a sound file and the way it is read to a log-mel.

    The key is the content, so a sound that is replaced is computed anew, and the version of the front end. Files are
    written beside their place and renamed into it: a reader finds a whole file or none. A file that is damaged all the
    same is computed again. Where nothing can be written (full disk, read-only folder) a warning is given once and work
    goes on without the cache.

    Args:
        folder (str | Path): Made if it does not exist.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._warned = False

    def path(self, content: bytes, num_examples: int, pad: str) -> Path:
        """Where the log-mel of a sound stands; folders of two hex digits keep directories small."""
        digest = hashlib.sha256(f'{FRONT_END_VERSION}/{num_examples}/{pad}/'.encode() + content).hexdigest()
        return self.folder / digest[:2] / f'{digest}.npy'

    def load(self, path: Path, num_examples: int) -> np.ndarray | None:
        """The log-mel (num_examples, 1, 96, 64), float32, or None where the file is absent or damaged."""
        try:
            log_mel = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError, SyntaxError):
            return None
        whole = (isinstance(log_mel, np.ndarray) and log_mel.shape == (num_examples, 1, EXAMPLE_FRAMES, MEL_BANDS)
                 and log_mel.dtype == np.float32)
        return log_mel if whole and np.isfinite(log_mel).all() else None

    def store(self, path: Path, log_mel: np.ndarray) -> None:
        """Writes one log-mel, whole or not at all."""
        temporary = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix='.writing-', suffix='.npy')
            with os.fdopen(handle, 'wb') as file:
                np.save(file, log_mel)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError as error:
            if temporary is not None:
                Path(temporary).unlink(missing_ok=True)
            if not self._warned:
                self._warned = True
                print_log(f'Log-mels are not cached: {self.folder} cannot be written ({error.strerror or error}).',
                          logger='current', level=logging.WARNING)
