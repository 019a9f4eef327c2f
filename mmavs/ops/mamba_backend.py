"""The mamba_ssm package as a scan backend for CUDA tensors.

It knows the plain selective scan only: the scan along several orders makes the reordered copies that the native ops do
without. Letters: B sequences, K scan orders, L tokens, C channels, n state size, R rank of the step size.
"""

import torch
from torch import Tensor

from .reference import accumulate_dtype

INSTALL = '`MAMBA_KEEP_CUDA_BUILD=TRUE pip install mamba-ssm --no-build-isolation`'


def mamba_unusable_reason() -> str | None:
    """Why mamba_ssm cannot be used, in one sentence; None if it can.

    Its recent releases import without their compiled scan, so the compiled function itself is looked for.
    """
    try:
        from mamba_ssm.ops import selective_scan_interface as interface
    except Exception as error:  # of whatever it imports in turn: a package that is optional stops nothing
        return f'mamba_ssm cannot be imported ({type(error).__name__}: {error}); install it with {INSTALL}'
    if getattr(interface, 'selective_scan_cuda', None) is None:
        return f'mamba_ssm is installed without its compiled scan; install it with {INSTALL}'
    return None


def mamba_selective_scan(u: Tensor, delta: Tensor, A: Tensor, Bm: Tensor, Cm: Tensor, D: Tensor | None,
                         delta_bias: Tensor | None, delta_softplus: bool) -> tuple[Tensor, Tensor]:
    """``selective_scan`` of (B, C, L) tokens by mamba_ssm, in float32: outputs (B, C, L) and last states (B, C, n).

    Raises:
        TypeError: If the tokens are float64, which it cannot scan.
    """
    if u.dtype == torch.float64:
        raise TypeError("mamba_ssm scans in float32 only, but the tokens are float64; choose backend='torch' for them")
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
    u, delta, Bm, Cm = (x.to(torch.float32) for x in (u, delta, Bm, Cm))
    return selective_scan_fn(u, delta, A, Bm, Cm, D, None, delta_bias, delta_softplus, True)


def copies_scan_merge(scan, u: Tensor, delta: Tensor, A: Tensor, Bm: Tensor, Cm: Tensor, D: Tensor | None,
                      delta_bias: Tensor | None, index: Tensor, dt_weight: Tensor | None, delta_softplus: bool,
                      y_start: int, y_len: int) -> Tensor:
    """``cross_selective_scan`` by reordered copies, one plain scan with K groups, and a sum in natural order.

    Args:
        scan: Computes the outputs (B, K*C, L) of ``(u, delta, A, Bm, Cm, D, delta_bias, delta_softplus)`` with tokens
            (B, K*C, L) and Bm, Cm (B, K, n, L).
        u: Shape (B, L, C); the other tensors as in ``cross_selective_scan``.

    Returns:
        Shape (B, y_len, C).
    """
    scans, batch = index.shape[0], u.shape[0]
    rows = index.long()

    def reorder(x: Tensor) -> Tensor:  # (B, K, L, X) -> (B, K, X, L)
        return x.gather(2, rows[None, :, :, None].expand(batch, -1, -1, x.shape[3])).transpose(2, 3)

    if dt_weight is not None:
        delta = delta.to(accumulate_dtype(delta.dtype)) @ dt_weight.transpose(1, 2)
    copies = reorder(u[:, None].expand(-1, scans, -1, -1)).flatten(1, 2).contiguous()
    y = scan(copies, reorder(delta).flatten(1, 2).contiguous(), A, reorder(Bm).contiguous(), reorder(Cm).contiguous(),
             D, delta_bias, delta_softplus)
    inverse = rows.argsort(1)[None, :, None].expand(batch, -1, u.shape[2], -1)
    merged = y.unflatten(1, (scans, -1)).gather(3, inverse).sum(1)
    return merged[:, :, y_start:y_start + y_len].transpose(1, 2).contiguous()
