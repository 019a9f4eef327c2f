"""Opening checkpoints without running code that they may carry.

A checkpoint is a pickle, and a pickle can call any function when it is opened. Everything here goes through
``torch.load(weights_only=True)``, extended by the few types that mmengine writes beside the weights. mmengine's own
loader falls back to the unsafe way; :func:`use_safe_checkpoint_loading` closes that path.
"""

import pickle
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .weight_fit import compare_weights

# The choice of this process, see use_safe_checkpoint_loading.
_CHOICE = dict(trust=False)
# torch's unpickler says in these words which object it refused.
_REFUSED = (r'GLOBAL (.+?) (?:was|whose)', r'unrecognized function (<[^>]+>)', r'allowlisted via .* but got (.+)')


class UnsafeCheckpointError(ValueError):
    """A checkpoint holds more than weights and plain values, so opening it could run code."""


def load_checkpoint_file(path: str | Path, trust: bool | None = None, map_location: Any = 'cpu') -> Any:
    """Open a checkpoint file without running code from it.

    Args:
        path: A local file written by ``torch.save`` or by mmengine.
        trust: True opens the file as an ordinary pickle, which runs whatever code it carries: only for files whose
            author you trust. Default None: the choice of :func:`use_safe_checkpoint_loading`, which the tools' flag
            ``--trust-checkpoint`` makes; without one, False.
        map_location: Where tensors go, as in :func:`torch.load`. Default ``'cpu'``.

    Returns:
        The object in the file: a state dict, or a dict such as ``{'state_dict': ..., 'meta': ...}``.

    Raises:
        FileNotFoundError: If there is no such file.
        UnsafeCheckpointError: If the file needs a type that is not known to be harmless (the message names it).
        ValueError: If the file is empty, truncated or no checkpoint.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'No checkpoint file {path}. Check the path, or download the file to it first.')
    if trusts_checkpoints() if trust is None else trust:
        return torch.load(path, map_location=map_location, weights_only=False)
    try:
        with _safe_types():
            return torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        refused = _refused_type(str(error))
        if refused is None:
            raise _damaged(path, error) from error
        raise UnsafeCheckpointError(
            f'{path} was not opened, because it holds an object of type {refused}, which could run code; if you trust '
            'the author of the file, pass --trust-checkpoint.') from error
    except (EOFError, OSError, RuntimeError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        if isinstance(error, PermissionError):
            raise PermissionError(f'No permission to read the checkpoint {path}.') from error
        raise _damaged(path, error) from error


def read_state_dict(path: str | Path, prefix: str = '', trust: bool | None = None) -> dict[str, Tensor]:
    """Read the weights of a checkpoint file.

    Args:
        path: A local file: a bare state dict, or a dict with one under ``state_dict`` or ``model``.
        prefix: Keep only the names that start with it, and take it off; as in mmengine, ``'backbone'`` means
            ``'backbone.'``. Default: all names.
        trust: As for :func:`load_checkpoint_file`.

    Returns:
        Name -> tensor; a leading ``module.`` (left by data-parallel wrappers) is taken off.

    Raises:
        ValueError: If the file holds no weights, or none under ``prefix``. Also those of
            :func:`load_checkpoint_file`.
    """
    weights = weights_of(load_checkpoint_file(path, trust=trust), path)
    prefix = f'{prefix}.' if prefix and not prefix.endswith('.') else prefix
    weights = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    if not weights:
        raise ValueError(f'{path} holds no weights whose names start with "{prefix}".')
    return weights


def weights_of(content: Any, path: str | Path) -> dict[str, Tensor]:
    """Take the weights out of what a checkpoint file holds.

    Args:
        content: A bare state dict, or a dict with one under ``state_dict`` or ``model``.
        path: The file, for messages.

    Returns:
        Name -> tensor; a leading ``module.`` is taken off.

    Raises:
        ValueError: If there is no weight.
    """
    for key in ('state_dict', 'model'):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping):
        raise ValueError(f'{path} holds a {type(content).__name__} where a dict of weights was expected.')
    weights = {name.removeprefix('module.'): value for name, value in content.items() if isinstance(value, Tensor)}
    if not weights:
        raise ValueError(f'{path} holds no weights; give a checkpoint of tools/train.py.')
    return weights


def load_weights(model: nn.Module, path: str | Path, trust: bool | None = None) -> None:
    """Load a checkpoint into a whole model, all of it or nothing; ``model.dataset_meta`` becomes the checkpoint's.

    Args:
        model: Receives the weights, in place.
        path: A local file.
        trust: As for :func:`load_checkpoint_file`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file holds no weights or not exactly those of the model, or cannot be opened safely.
    """
    content = load_checkpoint_file(path, trust=trust)
    weights = weights_of(content, path)
    require_fit(model, weights, path)
    model.load_state_dict(weights)
    meta = content.get('meta')
    if isinstance(meta, Mapping) and isinstance(meta.get('dataset_meta'), Mapping):
        model.dataset_meta = dict(meta['dataset_meta'])


def require_fit(model: nn.Module, weights: Mapping[str, Tensor], path: str | Path) -> None:
    """Check that weights are exactly those of a model, so that no part of it stays random unnoticed.

    Args:
        model: The model.
        weights: Name -> tensor.
        path: The file they come from, for the message.

    Raises:
        ValueError: If names are missing or left over, or a shape differs.
    """
    fit = compare_weights(model.state_dict(), weights)
    if not fit.complete:
        raise ValueError(f'{path} does not fit the model: {fit.problems}; check that it was trained with this config.')


def load_pretrained(module: nn.Module, path: str | Path, prefix: str = '', ignore: Sequence[str] = (),
                    hint: str = '') -> None:
    """Load a pretrained file into a module; every parameter must be found in it.

    Args:
        module: Receives the weights, in place.
        path: Local checkpoint file.
        prefix: As for :func:`read_state_dict`.
        ignore: Name prefixes in the file that the module does not have and need not have, e.g. ``('head.', )``.
        hint: A sentence that says where the file can be got, appended when it is missing.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If names are missing or left over, or a shape differs. Also those of :func:`load_checkpoint_file`.
    """
    name = type(module).__name__
    if not Path(path).expanduser().is_file():
        raise FileNotFoundError(f'The pretrained weights of {name} are not at {path}. {hint} '
                                f'To start from random weights, set init_cfg=None for {name} in the config.')
    weights = {key: value for key, value in read_state_dict(path, prefix).items() if not key.startswith(tuple(ignore))}
    fit = compare_weights(module.state_dict(), weights)
    if not fit.complete:
        raise ValueError(f'{path} does not fit {name}: {fit.problems}. Check that the file belongs to the configured '
                         'architecture.')
    module.load_state_dict(weights)


def pretrained_from_init_cfg(init_cfg: Any) -> tuple[str, str] | None:
    """Find the ``Pretrained`` entry of an mm ``init_cfg``.

    Args:
        init_cfg: None, a dict, or a list of dicts.

    Returns:
        ``(checkpoint, prefix)``, or None where no entry has the type ``'Pretrained'``.

    Raises:
        ValueError: If the entry has no ``checkpoint``.
    """
    entries = [init_cfg] if isinstance(init_cfg, Mapping) else list(init_cfg or [])
    for entry in entries:
        kind = entry.get('type')
        if kind == 'Pretrained' or getattr(kind, '__name__', None) == 'PretrainedInit':
            if not entry.get('checkpoint'):
                raise ValueError("init_cfg=dict(type='Pretrained') needs checkpoint='path of the weights file'.")
            return str(entry['checkpoint']), entry.get('prefix') or ''
    return None


def use_safe_checkpoint_loading(trust: bool = False) -> None:
    """Make mmengine (runner, ``init_cfg`` of any module, inferencers) open checkpoints with this module.

    It holds for the whole process. Checkpoints named by a URL are then refused, because mmengine opens them unsafely.

    Args:
        trust: True opens local files as ordinary pickles (``--trust-checkpoint``) and leaves URLs to mmengine. Default
            False.
    """
    from mmengine.runner import CheckpointLoader
    _CHOICE['trust'] = trust

    def load_from_local(filename: str, map_location: Any = 'cpu') -> Any:
        return load_checkpoint_file(filename, trust=trust, map_location=map_location)

    def load_from_url(filename: str, map_location: Any = None) -> Any:
        raise UnsafeCheckpointError(f'{filename} is not a local file: download it first and give its path, or pass '
                                    '--trust-checkpoint if you trust its author.')

    CheckpointLoader.register_scheme('', load_from_local, force=True)
    if not trust:
        remote = [scheme for scheme in CheckpointLoader._schemes if scheme]
        CheckpointLoader.register_scheme(remote, load_from_url, force=True)


def trusts_checkpoints() -> bool:
    """Whether this process opens checkpoints as ordinary pickles: the choice made for it, else False."""
    return _CHOICE['trust']


def _statistics_method(owner: Any, name: str) -> Callable:
    """Stands in for ``getattr`` while unpickling: mmengine's buffers refer to their own methods through it."""
    from mmengine.logging import HistoryBuffer
    if owner is not HistoryBuffer or name not in ('min', 'max', 'current', 'mean'):
        raise pickle.UnpicklingError(f'Unsupported global: GLOBAL getattr({owner!r}, {name!r}) was refused')
    return getattr(HistoryBuffer, name)


# torch finds an allowed object by its module and name, so the stand-in takes over those of getattr.
_statistics_method.__module__ = 'builtins'
_statistics_method.__name__ = _statistics_method.__qualname__ = 'getattr'


@contextmanager
def _safe_types() -> Iterator[None]:
    """Allow what mmengine's checkpoints hold beside weights: its history buffers, and NumPy arrays and scalars."""
    core = np._core if hasattr(np, '_core') else np.core
    dtypes = [type(np.dtype(kind)) for kind in (np.bool_, np.uint8, np.uint32, np.int32, np.int64, np.float32,
                                                np.float64)]
    allowed = [slice, _statistics_method, core.multiarray._reconstruct, core.multiarray.scalar, np.ndarray, np.dtype,
               *dtypes]
    try:
        from mmengine.logging import HistoryBuffer
        allowed.append(HistoryBuffer)
    except ImportError:
        pass
    before = torch.serialization.get_safe_globals()
    torch.serialization.add_safe_globals(allowed)
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def _refused_type(message: str) -> str | None:
    for pattern in _REFUSED:
        found = re.search(pattern, message, flags=re.DOTALL)
        if found:
            return found.group(1)
    return None


def _damaged(path: Path, error: Exception) -> ValueError:
    # torch wraps its finding into paragraphs of advice, among them to open the file unsafely.
    finding = str(error).rpartition('WeightsUnpickler error:')[2].strip()
    reason = re.split(r'\n|\. ', finding)[0] if finding else type(error).__name__
    size = path.stat().st_size
    return ValueError(f'{path} ({size} bytes) is truncated or no checkpoint ({reason}): copy or download it again.')

