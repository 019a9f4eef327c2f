"""Loads the compiled ops, which are optional."""

import logging
from functools import lru_cache
from pathlib import Path

import torch

from .schemas import SCHEMAS, register_rules

logger = logging.getLogger('mmavs.ops')


@lru_cache(maxsize=1)
def load_extension() -> str | None:
    """Load ``mmavs/ops/_ext*.so`` and register its ops, once per process.

    Returns:
        None if the ops are usable, else one sentence that says why they are not.
    """
    files = sorted(Path(__file__).parent.glob('_ext*.so'))
    if not files:
        return ('the native scan ops are not built; install a C++ compiler and run '
                '`MMAVS_WITH_OPS=1 pip install -e . --no-build-isolation`')
    try:
        torch.ops.load_library(str(files[-1]))
    except (OSError, RuntimeError) as error:
        return (f'the native scan ops in {files[-1].name} do not load with torch {torch.__version__} ({error}); '
                'build them again with `MMAVS_WITH_OPS=1 pip install -e . --no-build-isolation`')
    if _loaded_schemas() != {str(torch._C.parse_schema('mmavs::' + schema.format(s=''))) for schema in SCHEMAS}:
        return (f'the native scan ops in {files[-1].name} are those of another version of mmavs; build them again with '
                '`MMAVS_WITH_OPS=1 pip install -e . --no-build-isolation`')
    register_rules('')
    return None


def _loaded_schemas() -> set[str]:
    names = [schema.format(s='').split('(')[0] for schema in SCHEMAS]
    return {str(getattr(torch.ops.mmavs, name).default._schema) for name in names if hasattr(torch.ops.mmavs, name)}


def has_kernel(device_type: str) -> bool:
    """Whether the loaded native ops serve tensors of this device type ('cpu', 'cuda')."""
    if load_extension() is not None:
        return False
    key = {'cpu': 'CPU', 'cuda': 'CUDA'}.get(device_type)
    return key is not None and torch._C._dispatch_has_kernel_for_dispatch_key('mmavs::cross_scan_fwd', key)
