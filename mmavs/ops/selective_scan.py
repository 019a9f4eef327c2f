"""Selective scan with the arguments and the meaning of mamba_ssm's.

Letters: B sequences, D channels, G groups, L tokens, n state size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_selective_scan, needs_gradient, same_dtype
from .dispatch import resolve_backend
from .mamba_backend import mamba_selective_scan
from .reference import accumulate_dtype


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None = None,
                   z: Tensor | None = None, delta_bias: Tensor | None = None, delta_softplus: bool = False,
                   return_last_state: bool = False, backend: str = 'auto') -> Tensor | tuple[Tensor, Tensor]:
    """Selective scan of Mamba (Gu and Dao, 2023): ``h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t``.

    The output is ``(C_t h_t + D u_t) * silu(z_t)``. It differs from mamba_ssm's function in two points: recurrence
    and output are float32 (float64 for float64 tokens) whatever the dtype of the input, as a float16 output overflows;
    and a complex A is refused.

    Args:
        u: Shape (B, D, L), float64, float32, bfloat16 or float16.
        delta: Step sizes before bias and softplus. Shape (B, D, L).
        A: Real and negative. Shape (D, n).
        B: Shape (B, G, n, L) with G dividing D, (B, n, L) or, the same for all tokens, (D, n).
        C: As B.
        D: Skip connection. Shape (D,). Default: none.
        z: Gate. Shape (B, D, L). Default: none.
        delta_bias: Added to the step sizes. Shape (D,). Default: none.
        delta_softplus: Apply softplus to the step sizes. Default: False.
        return_last_state: Return the state after the last token too; gradients do not flow through it.
        backend: 'auto', 'cuda', 'mamba_ssm', 'cpp' or 'torch'; see :mod:`mmavs.ops.dispatch`.

    Returns:
        Outputs, shape (B, D, L), and with ``return_last_state`` the last state, shape (B, D, n).

    Raises:
        ValueError: If shapes or devices do not fit.
        TypeError: If a dtype does not fit.
        RuntimeError: If the chosen backend is not usable here.
    """
    Bm, Cm = _per_token('B', B, u), _per_token('C', C, u)
    groups = max(Bm.shape[1], Cm.shape[1])
    Bm, Cm = (_spread_groups(x, groups) for x in (Bm, Cm))
    check_selective_scan(u, delta, A, Bm, Cm, D, z, delta_bias)
    backend = resolve_backend(backend, u.device.type)
    u, delta, Bm, Cm = same_dtype(u, delta, Bm, Cm)
    precision = accumulate_dtype(u.dtype)
    A, D, delta_bias = (None if x is None else x.to(precision) for x in (A, D, delta_bias))
    if backend == 'mamba_ssm':
        out, last_state = mamba_selective_scan(u, delta, A, Bm, Cm, D, delta_bias, delta_softplus)
    else:
        op = torch.ops.mmavs.selective_scan_torch_fwd if backend == 'torch' else torch.ops.mmavs.selective_scan_fwd
        save_states = needs_gradient(u, delta, A, Bm, Cm, D, delta_bias)
        out, last_state, _ = op(u, delta, A, Bm, Cm, D, delta_bias, delta_softplus, save_states)
    if z is not None:
        out = out * F.silu(z.to(precision))
    return (out, last_state) if return_last_state else out


def _per_token(name: str, matrix: Tensor, u: Tensor) -> Tensor:
    """Any accepted form of B or C as (B, G, n, L)."""
    if matrix.dim() not in (2, 3, 4) or (matrix.dim() == 2 and u.dim() == 3 and matrix.shape[0] != u.shape[1]):
        raise ValueError(f'{name} of selective_scan must have shape (B, G, n, L), (B, n, L) or (D, n), but got '
                         f'{tuple(matrix.shape)} with u of shape {tuple(u.shape)}')
    if matrix.dim() == 3:
        return matrix[:, None]
    if matrix.dim() == 2 and u.dim() == 3:  # a row for each channel: as many groups as channels
        return matrix[None, :, :, None].expand(u.shape[0], -1, -1, u.shape[-1])
    return matrix


def _spread_groups(matrix: Tensor, groups: int) -> Tensor:
    if matrix.shape[1] > 0 and groups % matrix.shape[1] == 0:
        return matrix.repeat_interleave(groups // matrix.shape[1], 1) if matrix.shape[1] != groups else matrix
    return matrix
