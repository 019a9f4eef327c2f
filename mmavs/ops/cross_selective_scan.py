"""Selective scan of one token set along several orders, summed.

Letters: B sequences, K scan orders, L tokens, C channels, n state size, R rank of the step size.
"""

import torch
from torch import Tensor

from .checks import check_cross_scan, needs_gradient, same_dtype
from .dispatch import resolve_backend
from .mamba_backend import copies_scan_merge, mamba_selective_scan
from .reference import accumulate_dtype


def cross_selective_scan(u: Tensor, delta: Tensor, A: Tensor, Bm: Tensor, Cm: Tensor, D: Tensor | None = None,
                         delta_bias: Tensor | None = None, *, index: Tensor, dt_weight: Tensor | None = None,
                         delta_softplus: bool = True, y_start: int = 0, y_len: int | None = None,
                         backend: str = 'auto') -> Tensor:
    """Scan tokens along K orders and add up the outputs where they belong (paper eq. 4-7).

    Order k visits the tokens in the order ``index[k]``: ``h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t`` and
    ``y_t = C_t h_t + D u_t``. All tokens are given and returned in natural order; a table leads the scan
    through them, so that no reordered copies exist. Strided views with contiguous last axis cost nothing. Recurrence
    and output are float32 (float64 for float64 tokens) also under autocast.

    Args:
        u: Tokens. Shape (B, L, C), float64, float32, bfloat16 or float16.
        delta: Step sizes before bias and softplus. Shape (B, K, L, C), or with ``dt_weight`` their low-rank factor
            (B, K, L, R): ``delta = factor @ dt_weight^T``, which is never stored.
        A: Negative. Shape (K*C, n).
        Bm: Shape (B, K, L, n).
        Cm: Shape (B, K, L, n).
        D: Skip connection. Shape (K*C,). Default: none.
        delta_bias: Added to the step sizes. Shape (K*C,). Default: none.
        index: Natural position of the token that order k visits at step i; each row a permutation. Shape (K, L), int32.
        dt_weight: Shape (K, C, R). Default: none.
        delta_softplus: Apply softplus to the step sizes. Default: True.
        y_start: First natural position whose output is wanted. Default: 0.
        y_len: How many outputs are wanted. Default: all from ``y_start``.
        backend: 'auto', 'cuda', 'mamba_ssm', 'cpp' or 'torch'; see :mod:`mmavs.ops.dispatch`.

    Returns:
        Sum over the orders. Shape (B, y_len, C), float32 (float64 for float64 tokens).

    Raises:
        ValueError: If shapes, devices or the table do not fit.
        TypeError: If a dtype does not fit.
        RuntimeError: If the chosen backend is not usable here.
    """
    if y_len is None:
        y_len = u.shape[1] - y_start
    check_cross_scan(u, delta, A, Bm, Cm, D, delta_bias, index, dt_weight, y_start, y_len)
    backend = resolve_backend(backend, u.device.type)
    u, delta, Bm, Cm = same_dtype(u, delta, Bm, Cm)
    precision = accumulate_dtype(u.dtype)
    A, D, delta_bias, dt_weight = (None if x is None else x.to(precision) for x in (A, D, delta_bias, dt_weight))
    if backend == 'mamba_ssm':
        def scan(*arguments):
            return mamba_selective_scan(*arguments)[0]
        return copies_scan_merge(scan, u, delta, A, Bm, Cm, D, delta_bias, index, dt_weight, delta_softplus, y_start,
                                 y_len)
    op = torch.ops.mmavs.cross_scan_torch_fwd if backend == 'torch' else torch.ops.mmavs.cross_scan_fwd
    save_states = needs_gradient(u, delta, A, Bm, Cm, D, delta_bias, dt_weight)
    return op(u, delta, A, Bm, Cm, D, delta_bias, index, dt_weight, delta_softplus, y_start, y_len, save_states)[0]
