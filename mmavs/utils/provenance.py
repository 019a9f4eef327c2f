"""What a result was made with: versions, git state, scan backend, command."""

import platform
import shlex
import subprocess
import sys
from importlib import import_module, util
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mmavs.ops import resolve_backend
from mmavs.version import __version__

# The last four make the inputs: they read and resample sounds and pictures.
_MODULES = ('torch', 'mmengine', 'mmcv', 'mmseg', 'numpy', 'soxr', 'soundfile', 'PIL', 'cv2')


def collect_provenance(device_type: str = 'cpu') -> dict[str, str | int]:
    """Describe the running program.

    Args:
        device_type: Type of the device that it computes on, e.g. ``'cuda'``.

    Returns:
        dict of plain strings and integers: ``python``, ``platform``, ``mmavs`` and one entry per package it computes
        with, ``git``, ``scan_backend``, ``cpu_threads`` (sums depend on it in the last bit), ``command``.
    """
    import torch
    record = dict(python=platform.python_version(), platform=platform.platform(), mmavs=__version__)
    record.update({name: module_version(name) for name in _MODULES})
    record.update(git=git_state(Path(__file__).parent), scan_backend=scan_backend(device_type),
                  cpu_threads=torch.get_num_threads(), command=shlex.join([sys.executable, *sys.argv]))
    return record


def module_version(name: str) -> str:
    """``__version__`` of a module or the version of its distribution; ``'not installed'`` without it."""
    if util.find_spec(name) is None:
        return 'not installed'
    try:
        found = getattr(import_module(name), '__version__', None)
        return str(found if found is not None else version(name))
    except (ImportError, PackageNotFoundError):
        return 'unknown'


def git_state(folder: Path) -> str:
    """Commit of the checkout that ``folder`` belongs to.

    Args:
        folder: A folder of source code.

    Returns:
        The full commit hash, with `` (modified)`` where tracked files differ from it; ``'no git checkout'`` where git
        is missing or does not track the folder (an installed package inside another project's checkout, say).
    """
    if not _git(folder, 'ls-files', '--', '.'):
        return 'no git checkout'
    commit = _git(folder, 'rev-parse', 'HEAD')
    if not commit:
        return 'no git checkout'
    return commit + (' (modified)' if _git(folder, 'status', '--porcelain', '--untracked-files=no') else '')


def scan_backend(device_type: str = 'cpu') -> str:
    """Name of the backend that ``mmavs.ops`` chooses for tensors on ``device_type``, or why it has none."""
    try:
        return resolve_backend('auto', device_type)
    except RuntimeError as error:
        return str(error)


def _git(folder: Path, *arguments: str) -> str:
    try:
        return subprocess.run(['git', '-C', str(folder), *arguments], capture_output=True, text=True, timeout=20,
                              check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ''
