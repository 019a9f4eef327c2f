"""Which settings to change when memory runs out."""

import errno
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch

# Errors of the accelerator's libraries and of C++ come as RuntimeErrors of any kind.
_ACCELERATOR = ('CUDA out of memory', 'CUDA error: out of memory', 'CUBLAS_STATUS_ALLOC_FAILED')
_MAIN_MEMORY = ("DefaultCPUAllocator: can't allocate memory", 'std::bad_alloc', 'Cannot allocate memory')
_WORKER = re.compile(r'DataLoader worker \(pid.*?\) (is killed by signal|exited unexpectedly)')
_RESUME = ' Training resumes with --resume.'


class OutOfMemoryAdviceError(RuntimeError):
    """Memory ran out; the message names the config keys that reduce its use."""


def explain_out_of_memory(error: BaseException, cfg: Mapping, stage: str = 'train') -> str | None:
    """Turn an out-of-memory error into advice.

    Args:
        error: Any error of a training or test run; what caused it is looked at too.
        cfg: The run's config.
        stage: ``'train'`` (default) or ``'test'``: whose settings are named.

    Returns:
        Sentences that name the config keys to change with their present values, or None for another kind of error.
    """
    where = next(filter(None, map(_where, _chain(error))), None)
    if where is None:
        return None
    if where == 'worker':
        loader = f'{stage}_dataloader'
        workers = (cfg.get(loader) or {}).get('num_workers')
        advice = ('A data loading worker was killed, which mostly means that the main memory or /dev/shm ran out. '
                  f'Reduce {loader}.num_workers (now {workers}), {loader}.prefetch_factor or {loader}.batch_size.')
    else:
        advice = f'{where} ran out. To reduce its use, in this order: {"; ".join(_advice(cfg, stage))}.'
    return advice + (_RESUME if stage == 'train' else '')


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what caused it, the first cause first: it says most."""
    if error is not None:
        yield from _chain(error.__cause__)
        yield error


def _where(error: BaseException) -> str | None:
    """Which memory an error says to have run out; 'worker' for a process that was ended for it."""
    text = str(error)
    if isinstance(error, torch.cuda.OutOfMemoryError) or any(mark in text for mark in _ACCELERATOR):
        return "The accelerator's memory"
    no_memory = isinstance(error, OSError) and error.errno == errno.ENOMEM
    if isinstance(error, MemoryError) or no_memory or any(mark in text for mark in _MAIN_MEMORY):
        return 'The main memory'
    return 'worker' if _WORKER.search(text) else None


def _advice(cfg: Mapping, stage: str) -> Iterator[str]:
    for name in ('train_dataloader', 'val_dataloader') if stage == 'train' else ('test_dataloader', ):
        loader = cfg.get(name)
        if loader:
            yield f'{name}.batch_size (now {loader.get("batch_size")})'
    if stage == 'train':
        off = [key for key, value in _find_with_cp(cfg.get('model') or {}, 'model') if not value]
        if off:
            yield f'{", ".join(f"{key}=True" for key in off)} (activation checkpointing, now False)'
        else:
            yield 'with_cp=True (activation checkpointing) in model.backbone, model.neck and model.decode_head'
    size = cfg.get('input_size')
    yield 'input_size' + (f' (now {size})' if size else ' (the scale of the resize and crop transforms)')
    if stage == 'train':
        yield "optim_wrapper.type='mmavs.AutocastOptimWrapper' (bfloat16, --amp)"


def _find_with_cp(node: Any, path: str) -> Iterator[tuple[str, bool]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == 'with_cp':
                yield f'{path}.{key}', bool(value)
            else:
                yield from _find_with_cp(value, f'{path}.{key}')
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _find_with_cp(value, f'{path}.{index}')
