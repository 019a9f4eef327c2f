"""Which backend computes a scan.

CUDA tensors: 'cuda' (the native kernels), else 'mamba_ssm' (where its compiled scan is there), else 'torch'. CPU
tensors: 'cpp' (the native kernels), else 'torch'. The environment variable ``MMAVS_SCAN_BACKEND`` names another, the
argument ``backend`` of a call goes before it. The choice is logged once per device type, and never made silently: a
chosen backend that is not usable is an error, and 'torch' on a GPU, where it is slow, a warning.
"""

import logging
import os
from functools import lru_cache

from .ext_loader import has_kernel, load_extension
from .mamba_backend import mamba_unusable_reason

BACKENDS = ('cuda', 'mamba_ssm', 'cpp', 'torch')
ENVIRONMENT = 'MMAVS_SCAN_BACKEND'
logger = logging.getLogger('mmavs.ops')


def unusable_reason(backend: str, device_type: str) -> str | None:
    """Why a backend cannot serve tensors of a device type, in one sentence; None if it can."""
    if backend == 'torch':
        return None
    device_of_backend = 'cpu' if backend == 'cpp' else 'cuda'
    if device_type != device_of_backend:
        return f'it computes {device_of_backend} tensors only, and these are {device_type} tensors'
    if backend == 'mamba_ssm':
        return mamba_unusable_reason()
    if has_kernel(device_type):
        return None
    return load_extension() or ('the native ops were built without CUDA; build them on a machine with nvcc by '
                                '`FORCE_CUDA=1 MMAVS_WITH_OPS=1 pip install -e . --no-build-isolation`')


def resolve_backend(backend: str, device_type: str) -> str:
    """Name of the backend that serves a call.

    Args:
        backend: One of 'auto', 'cuda', 'mamba_ssm', 'cpp', 'torch', as given by the caller.
        device_type: Of the tokens: 'cpu', 'cuda', ...

    Raises:
        ValueError: If ``backend`` or ``MMAVS_SCAN_BACKEND`` is none of these.
        RuntimeError: If the chosen backend is not usable.
    """
    source = 'backend'
    if backend == 'auto':
        source, backend = ENVIRONMENT, os.environ.get(ENVIRONMENT) or 'auto'
    return _resolve(backend, source, device_type)


# What torch.compiler.assume_constant_result does: a compiler asks once, when it traces. The decorator itself would load
# the whole compiler with every import of this package.
resolve_backend._dynamo_marked_constant = True


@lru_cache(maxsize=64)
def _resolve(backend: str, source: str, device_type: str) -> str:
    if backend not in (*BACKENDS, 'auto'):
        raise ValueError(f"{source} must be 'auto' or one of {BACKENDS}, but got {backend!r}")
    reasons: dict[str, str | None] = {}
    # In this order and no further than needed: to ask for mamba_ssm is to import it and all that it imports.
    for chosen in BACKENDS if backend == 'auto' else (backend,):
        reasons[chosen] = unusable_reason(chosen, device_type)
        if reasons[chosen] is None:
            break
    else:
        usable = [name for name in BACKENDS if unusable_reason(name, device_type) is None]
        raise RuntimeError(f"scan backend '{backend}' (chosen by {source}) is not usable: {reasons[backend]}; "
                           f"usable here: 'auto' or one of {usable}")
    _report(chosen, backend, device_type, reasons)
    return chosen


def _report(chosen: str, backend: str, device_type: str, reasons: dict[str, str | None]) -> None:
    if backend == 'auto' and chosen == 'torch' and device_type in ('cpu', 'cuda'):
        native = 'cpp' if device_type == 'cpu' else 'cuda'
        level = logging.WARNING if device_type == 'cuda' else logging.INFO
        logger.log(level, 'Scans of %s tensors run on the slow PyTorch path: %s', device_type, reasons[native])
    else:
        logger.info("Scans of %s tensors run on backend '%s'", device_type, chosen)
