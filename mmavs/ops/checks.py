"""Checks of the scans' arguments: one sentence that names the argument, what was found and what is wanted."""

from collections.abc import Mapping

import torch
from torch import Tensor

FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def same_dtype(*tokens: Tensor) -> tuple[Tensor, ...]:
    """The tensors in their common dtype: autocast may have left some of them in float32."""
    dtype = tokens[0].dtype
    for x in tokens[1:]:
        dtype = torch.promote_types(dtype, x.dtype)
    return tuple(x.to(dtype) for x in tokens)


def needs_gradient(*tensors: Tensor | None) -> bool:
    """Whether a backward pass may follow."""
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in tensors)


def check_cross_scan(u: Tensor, delta: Tensor, A: Tensor, Bm: Tensor, Cm: Tensor, D: Tensor | None,
                     delta_bias: Tensor | None, index: Tensor, dt_weight: Tensor | None, y_start: int,
                     y_len: int) -> None:
    """Raise ValueError or TypeError if the arguments of ``cross_selective_scan`` do not fit together."""
    name = 'cross_selective_scan'
    _check_rank(name, dict(u=(u, '(B, L, C)'), index=(index, '(K, L)'), A=(A, '(K*C, n)')))
    batch, length, channels = u.shape
    scans, n = index.shape[0], A.shape[1]
    rank = channels
    if dt_weight is not None:
        _check_rank(name, dict(dt_weight=(dt_weight, '(K, C, R)')))
        rank = dt_weight.shape[2]
    _check_shapes(name, dict(
        index=(index, (scans, length)), delta=(delta, (batch, scans, length, rank)), A=(A, (scans * channels, n)),
        Bm=(Bm, (batch, scans, length, n)), Cm=(Cm, (batch, scans, length, n)), D=(D, (scans * channels,)),
        delta_bias=(delta_bias, (scans * channels,)), dt_weight=(dt_weight, (scans, channels, rank))))
    if index.dtype != torch.int32:
        raise TypeError(f'index of {name} must be int32, but is {index.dtype}')
    if scans < 1 or n < 1:
        raise ValueError(f'{name} needs at least one order and one state, but got index {tuple(index.shape)} '
                         f'and A {tuple(A.shape)}')
    if y_start < 0 or y_len < 0 or y_start + y_len > length:
        raise ValueError(f'y_start and y_len of {name} must lie within the {length} tokens, but got {y_start} and '
                         f'{y_len}')
    _check_kind(name, dict(u=u, delta=delta, A=A, Bm=Bm, Cm=Cm, D=D, delta_bias=delta_bias, dt_weight=dt_weight))
    if index.device != u.device:
        raise ValueError(f'index of {name} must be on {u.device} like u, but is on {index.device}')


def check_selective_scan(u: Tensor, delta: Tensor, A: Tensor, Bm: Tensor, Cm: Tensor, D: Tensor | None,
                         z: Tensor | None, delta_bias: Tensor | None) -> None:
    """Raise ValueError or TypeError if the arguments of ``selective_scan`` do not fit together."""
    name = 'selective_scan'
    _check_rank(name, dict(u=(u, '(B, D, L)'), A=(A, '(D, n)'), B=(Bm, '(B, G, n, L)')))
    batch, channels, length = u.shape
    groups, n = Bm.shape[1], A.shape[1]
    _check_shapes(name, dict(
        delta=(delta, (batch, channels, length)), A=(A, (channels, n)), B=(Bm, (batch, groups, n, length)),
        C=(Cm, (batch, groups, n, length)), D=(D, (channels,)), z=(z, (batch, channels, length)),
        delta_bias=(delta_bias, (channels,))))
    if groups < 1 or n < 1 or channels % groups:
        raise ValueError(f'{name} needs at least one state and groups that divide the {channels} channels of u, but '
                         f'got {n} states and {groups} groups')
    _check_kind(name, dict(u=u, delta=delta, A=A, B=Bm, C=Cm, D=D, z=z, delta_bias=delta_bias))


def _check_rank(function: str, tensors: Mapping[str, tuple[Tensor, str]]) -> None:
    for name, (x, shape) in tensors.items():
        if x.dim() != shape.count(',') + 1:
            raise ValueError(f'{name} of {function} must have shape {shape}, but got {tuple(x.shape)}')


def _check_shapes(function: str, tensors: Mapping[str, tuple[Tensor | None, tuple]]) -> None:
    for name, (x, shape) in tensors.items():
        if x is not None and (x.dim() != len(shape) or any(a != b for a, b in zip(x.shape, shape, strict=True))):
            raise ValueError(f'{name} of {function} must have shape {tuple(shape)}, but got {tuple(x.shape)}')


def _check_kind(function: str, tensors: Mapping[str, Tensor | None]) -> None:
    first = next(iter(tensors.values()))
    for name, x in tensors.items():
        if x is None:
            continue
        if x.dtype not in FLOATS:
            raise TypeError(f'{name} of {function} must be float64, float32, bfloat16 or float16, but is {x.dtype}')
        if x.device != first.device:
            raise ValueError(f'{name} of {function} must be on {first.device} like u, but is on {x.device}')
