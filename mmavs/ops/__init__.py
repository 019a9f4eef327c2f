"""Selective scans and what belongs to them; needs torch only.

The ops run on compiled kernels where they are built (``csrc``), else on PyTorch; see :mod:`mmavs.ops.dispatch`.
"""

from . import scan_orders, torch_ops
from .causal_conv1d import causal_conv1d
from .cross_selective_scan import cross_selective_scan
from .dispatch import resolve_backend
from .ext_loader import load_extension
from .scan_orders import scan_index, temporal_orders
from .selective_scan import selective_scan

__all__ = ['causal_conv1d', 'cross_selective_scan', 'load_extension', 'resolve_backend', 'scan_index', 'scan_orders',
           'selective_scan', 'temporal_orders', 'torch_ops']

# Not at the first scan: an exported program that is read before, or a counter of operations, must know the ops too.
load_extension()
