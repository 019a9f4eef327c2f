"""Causal depth-wise convolution over a sequence.

Letters: B sequences, C channels, L tokens, W kernel width.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

PACKAGE_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def causal_conv1d(x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str | None = None) -> Tensor:
    """Depth-wise convolution in which token l sees the tokens l-W+1...l only (Mamba, Gu and Dao, 2023).

    CUDA tensors go to the causal_conv1d package where it is installed and usable (W of 2 to 4), all others to a
    left-padded ``conv1d``, and so do all in compiled and exported graphs; both give the same values.

    Args:
        x: Shape (B, C, L).
        weight: Shape (C, W); the last column meets the token itself.
        bias: Shape (C,). Default: none.
        activation: None or 'silu', applied to the result.

    Returns:
        Shape (B, C, L), dtype of ``x`` (autocast's where it is on).

    Raises:
        ValueError: If the shapes do not fit or the activation is another one.
    """
    if x.dim() != 3:
        raise ValueError(f'x of causal_conv1d must have shape (B, C, L), but got {tuple(x.shape)}')
    if weight.dim() != 2 or weight.shape[0] != x.shape[1]:
        raise ValueError(f'weight of causal_conv1d must have shape ({x.shape[1]}, W), but got {tuple(weight.shape)}')
    if bias is not None and tuple(bias.shape) != (x.shape[1],):
        raise ValueError(f'bias of causal_conv1d must have shape ({x.shape[1]},), but got {tuple(bias.shape)}')
    if activation not in (None, 'silu'):
        raise ValueError(f"activation of causal_conv1d must be None or 'silu', but got {activation!r}")
    if x.shape[2] == 0:  # conv1d refuses to give an empty sequence
        return x
    # A graph could not hold the search for the package.
    if not torch.compiler.is_compiling() and _fits_package(x, weight, bias) and _package() is not None:
        return _package()(x.contiguous(), weight, bias, activation=activation)
    out = F.conv1d(F.pad(x, (weight.shape[1] - 1, 0)), weight[:, None, :], bias, groups=x.shape[1])
    return F.silu(out) if activation == 'silu' else out


def _fits_package(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    return (x.is_cuda and 2 <= weight.shape[1] <= 4 and x.numel() > 0 and x.dtype in PACKAGE_DTYPES
            and all(parameter is None or parameter.dtype == x.dtype for parameter in (weight, bias)))


@lru_cache(maxsize=1)
def _package():
    """The function of the causal_conv1d package, or None where its compiled part is missing."""
    try:
        import causal_conv1d_cuda  # noqa: F401
        from causal_conv1d import causal_conv1d_fn
    except Exception:  # of whatever it imports in turn: a package that is optional stops nothing
        return None
    return causal_conv1d_fn
