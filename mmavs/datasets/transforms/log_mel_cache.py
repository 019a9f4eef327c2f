"""Log-mels kept on disk: one file per sound, safe with many writers and with writers that are killed."""

import hashlib
import logging
import os
import time
import uuid
from contextlib import suppress
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from .log_mel import EXAMPLE_FRAMES, MEL_BANDS, front_end

_UNFINISHED = '.writing-'
# Writing takes milliseconds; what is this old was left by a writer that was killed. In seconds.
_ABANDONED_AFTER = 3600
# Of a .npy file, in bytes; NumPy writes 128.
_LARGEST_HEADER = 1024


class LogMelCache:
    """Maps the content of a sound file and the way it is read to a log-mel.

    The key is the content, so a sound that is replaced is computed anew, and all settings of the front end. Files are
    written beside their place and renamed into it: a reader finds a whole file or none. A file that is damaged all the
    same is computed again. What killed writers left is removed after an hour, when a cache is opened. Where nothing can
    be written (full disk, read-only folder) a warning is given once and work goes on without the cache.

    Args:
        folder (str | Path): Made if it does not exist.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._warned = False
        self._remove_abandoned()

    def _remove_abandoned(self) -> None:
        with suppress(OSError):
            for path in self.folder.glob(f'*/{_UNFINISHED}*'):
                # Another process may be removing it too.
                with suppress(OSError):
                    if time.time() - path.stat().st_mtime > _ABANDONED_AFTER:
                        path.unlink()

    def path(self, content: bytes, num_examples: int, pad: str) -> Path:
        """Where the log-mel of a sound stands; folders of two hex digits keep directories small."""
        digest = hashlib.sha256(f'{front_end()}/{num_examples}/{pad}/'.encode() + content).hexdigest()
        return self.folder / digest[:2] / f'{digest}.npy'

    def load(self, path: Path, num_examples: int) -> np.ndarray | None:
        """The log-mel (num_examples, 1, 96, 64), float32, or None where the file is absent or damaged."""
        shape = (num_examples, 1, EXAMPLE_FRAMES, MEL_BANDS)
        try:
            # First the size, which says more about what reading may cost than a damaged header does.
            if not 0 < path.stat().st_size - 4 * int(np.prod(shape)) <= _LARGEST_HEADER:
                return None
            log_mel = np.load(path, allow_pickle=False)
        except Exception:
            # NumPy evaluates the header as Python, so a damaged one can raise nearly anything.
            return None
        whole = isinstance(log_mel, np.ndarray) and log_mel.shape == shape and log_mel.dtype == np.float32
        return log_mel if whole and np.isfinite(log_mel).all() else None

    def store(self, path: Path, log_mel: np.ndarray) -> None:
        """Writes one log-mel, whole or not at all."""
        # Not by tempfile, whose files nobody else may read: a cache is often shared.
        temporary = path.with_name(f'{_UNFINISHED}{uuid.uuid4().hex}.npy')
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, 'xb') as file:
                np.save(file, log_mel)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            if not self._warned:
                self._warned = True
                print_log(f'Log-mels are not cached: {self.folder} cannot be written ({error.strerror or error}).',
                          logger='current', level=logging.WARNING)
