"""Files that are either complete or not there, whatever happens while they are written."""

import os
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

ATOMIC_BACKEND = 'MMAVSAtomicLocalBackend'
_TEMPORARY_SUFFIX = '.writing'


def atomic_write(path: str | Path, data: bytes) -> None:
    """Write a file so that a crash leaves either the old file or the new one, never a part.

    The data goes to a temporary file in the same folder (a rename is atomic only within one file system), is flushed
    to the disk, and takes its name by one rename; the folder is flushed too, so that the rename itself survives a power
    failure.

    Args:
        path: File to write. Its folder is created when missing.
        data: The complete content.

    Raises:
        OSError: If the disk is full or not writable. The old file is then untouched and the temporary one removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}{_TEMPORARY_SUFFIX}')
    try:
        with open(temporary, 'wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _flush_folder(path.parent)


def remove_unfinished_files(folder: str | Path) -> list[Path]:
    """Remove what killed writers left in ``folder`` and return the removed paths.

    Call it only when no other process writes there, e.g. on the main process before training starts.
    """
    unfinished = sorted(Path(folder).glob(f'.*{_TEMPORARY_SUFFIX}'))
    for path in unfinished:
        path.unlink(missing_ok=True)
    return unfinished


def _flush_folder(folder: Path) -> None:
    if os.name != 'posix':
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class AtomicLocalBackend(LocalBackend):
    """mmengine's local file backend with atomic ``put`` and ``put_text``.

    Registered under the name ``ATOMIC_BACKEND``; ``backend_args=dict(backend=ATOMIC_BACKEND)`` selects it wherever
    mmengine writes a file.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes atomically; see :func:`atomic_write`."""
        atomic_write(filepath, obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text atomically; see :func:`atomic_write`."""
        atomic_write(filepath, obj.encode(encoding))


register_backend(ATOMIC_BACKEND, AtomicLocalBackend, force=True)
