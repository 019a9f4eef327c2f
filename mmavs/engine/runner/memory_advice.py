"""Which settings to change when memory runs out."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

_CPU_ALLOCATION = "DefaultCPUAllocator: can't allocate memory"
_WORKER_KILLED = ('is killed by signal: Killed', 'is killed by signal: Bus error')


class OutOfMemoryAdviceError(RuntimeError):
    """Memory ran out; the message names the config keys that reduce its use."""


def explain_out_of_memory(error: BaseException, cfg: Mapping) -> str | None:
    """Turn an out-of-memory error into advice.

    Args:
        error: Any error of a training or test run.
        cfg: The run's config.

    Returns:
        Sentences that name the config keys to change with their present values, or None for another kind of error.
    """
    text = str(error)
    if isinstance(error, torch.cuda.OutOfMemoryError):
        where = 'The accelerator ran out of memory'
    elif isinstance(error, MemoryError) or _CPU_ALLOCATION in text:
        where = 'The main memory ran out'
    elif any(mark in text for mark in _WORKER_KILLED):
        workers = (cfg.get('train_dataloader') or {}).get('num_workers')
        return ('A data loading worker was killed, which mostly means that the main memory or /dev/shm ran out. '
                f'Reduce train_dataloader.num_workers (now {workers}), train_dataloader.prefetch_factor or '
                'train_dataloader.batch_size.')
    else:
        return None
    return f'{where}. To reduce its use, in this order: {"; ".join(_advice(cfg))}. Training resumes with --resume.'


def _advice(cfg: Mapping) -> Iterator[str]:
    for name in ('train_dataloader', 'test_dataloader'):
        loader = cfg.get(name)
        if loader:
            yield f'{name}.batch_size (now {loader.get("batch_size")})'
    off = [key for key, value in _find_with_cp(cfg.get('model') or {}, 'model') if not value]
    if off:
        yield f'{", ".join(f"{key}=True" for key in off)} (activation checkpointing, now False)'
    else:
        yield 'with_cp=True (activation checkpointing) in model.backbone, model.neck and model.decode_head'
    size = cfg.get('input_size')
    yield 'the scale of the resize and crop transforms' + (f' (now {size})' if size else '')
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
