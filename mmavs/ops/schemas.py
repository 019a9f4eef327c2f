"""Schemas of the low-level scan ops and what autograd, tracing and autocast must know about them.

Every backend that is an op of its own gives the same four ops, ``cross_scan{suffix}_fwd``, ``..._bwd`` and
``selective_scan{suffix}_fwd``, ``..._bwd`` in the namespace ``mmavs``: suffix '' are the native ones (schemas in
``csrc/pytorch/ops.cpp``), '_torch' those of ``torch_ops.py``. A backward pass is an op of its own without derivative.

Letters: B sequences, K scan orders, G groups, L tokens, C or D channels, n state size, R rank of the step size.
"""

from typing import Any

import torch
from torch import Tensor

from .checks import same_dtype
from .flops import register_flops
from .reference import CHUNK, accumulate_dtype

# {s} is the suffix of the backend. Token inputs share one dtype; A, D, delta_bias, dt_weight have that of the sums.
SCHEMAS = (
    'cross_scan{s}_fwd(Tensor u, Tensor delta, Tensor A, Tensor Bm, Tensor Cm, Tensor? D, Tensor? delta_bias, '
    'Tensor index, Tensor? dt_weight, bool delta_softplus, SymInt y_start, SymInt y_len, bool save_states) '
    '-> (Tensor out, Tensor states)',
    'cross_scan{s}_bwd(Tensor dout, Tensor u, Tensor delta, Tensor A, Tensor Bm, Tensor Cm, Tensor? D, '
    'Tensor? delta_bias, Tensor index, Tensor? dt_weight, Tensor states, bool delta_softplus, SymInt y_start) '
    '-> (Tensor du, Tensor ddelta, Tensor dA, Tensor dBm, Tensor dCm, Tensor dD, Tensor ddelta_bias, '
    'Tensor ddt_weight)',
    'selective_scan{s}_fwd(Tensor u, Tensor delta, Tensor A, Tensor Bm, Tensor Cm, Tensor? D, Tensor? delta_bias, '
    'bool delta_softplus, bool save_states) -> (Tensor out, Tensor last_state, Tensor states)',
    'selective_scan{s}_bwd(Tensor dout, Tensor u, Tensor delta, Tensor A, Tensor Bm, Tensor Cm, Tensor? D, '
    'Tensor? delta_bias, Tensor states, bool delta_softplus) '
    '-> (Tensor du, Tensor ddelta, Tensor dA, Tensor dBm, Tensor dCm, Tensor dD, Tensor ddelta_bias)',
)
_AUTOCAST = torch.library.Library('mmavs', 'FRAGMENT')


def states_shape(u: Tensor, batch: int, scans: int, length: Any, n: int, channels: int, save_states: bool,
                 suffix: str) -> tuple:
    """Shape of the saved states, (B, K, chunks, n, C), or (0,) where nothing is saved."""
    # The CUDA kernels keep a state every 16 tokens, every 32 with many states (csrc/common/cuda/scan_params.cuh).
    chunk = CHUNK if suffix or u.device.type != 'cuda' else 16 if n <= 8 else 32
    return (batch, scans, (length + chunk - 1) // chunk, n, channels) if save_states else (0,)


def _gradients(inputs: tuple[Tensor | None, ...]) -> tuple[Tensor, ...]:
    """Empty gradients of the tokens' and parameters' shapes, in the dtype of the sums."""
    dtype = accumulate_dtype(inputs[0].dtype)
    return tuple(inputs[0].new_empty((0,) if x is None else x.shape, dtype=dtype) for x in inputs)


def _register_fakes(suffix: str) -> None:
    def cross_forward(u, delta, A, Bm, Cm, D, delta_bias, index, dt_weight, delta_softplus, y_start, y_len,
                      save_states):
        batch, length, channels = u.shape
        dtype = accumulate_dtype(u.dtype)
        shape = states_shape(u, batch, index.shape[0], length, A.shape[1], channels, save_states, suffix)
        return u.new_empty((batch, y_len, channels), dtype=dtype), u.new_empty(shape, dtype=dtype)

    def cross_backward(dout, u, delta, A, Bm, Cm, D, delta_bias, index, dt_weight, states, delta_softplus, y_start):
        return _gradients((u, delta, A, Bm, Cm, D, delta_bias, dt_weight))

    def selective_forward(u, delta, A, Bm, Cm, D, delta_bias, delta_softplus, save_states):
        batch, channels, length = u.shape
        groups, n = Bm.shape[1:3]
        dtype = accumulate_dtype(u.dtype)
        shape = states_shape(u, batch, groups, length, n, channels // groups, save_states, suffix)
        return (u.new_empty(u.shape, dtype=dtype), u.new_empty((batch, channels, n), dtype=dtype),
                u.new_empty(shape, dtype=dtype))

    def selective_backward(dout, u, delta, A, Bm, Cm, D, delta_bias, states, delta_softplus):
        return _gradients((u, delta, A, Bm, Cm, D, delta_bias))

    for name, fake in ((f'cross_scan{suffix}_fwd', cross_forward), (f'cross_scan{suffix}_bwd', cross_backward),
                       (f'selective_scan{suffix}_fwd', selective_forward),
                       (f'selective_scan{suffix}_bwd', selective_backward)):
        torch.library.register_fake(f'mmavs::{name}', fake)


def _cast(gradients: tuple[Tensor, ...], inputs: tuple[Tensor | None, ...]) -> list[Tensor | None]:
    return [None if x is None else grad.to(x.dtype) for grad, x in zip(gradients, inputs, strict=True)]


def _check_states(ctx: Any, states: Tensor) -> None:
    if states.dim() == 1:
        raise RuntimeError(f'{ctx.op_name} was called with save_states=False and so has no backward pass; '
                           'pass save_states=True')


def _register_autograd(suffix: str) -> None:
    def cross_context(ctx, inputs, output):
        *tensors, ctx.delta_softplus, ctx.y_start, _, _ = inputs
        ctx.op_name = f'mmavs::cross_scan{suffix}_fwd'
        ctx.save_for_backward(*tensors, output[1])
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(output[1])

    def cross_backward(ctx, dout, _):
        *tensors, states = ctx.saved_tensors
        if dout is None:
            return (None,) * 13
        _check_states(ctx, states)
        op = getattr(torch.ops.mmavs, f'cross_scan{suffix}_bwd')
        u, delta, A, Bm, Cm, D, delta_bias, _, dt_weight = tensors
        gradients = op(dout, *tensors, states, ctx.delta_softplus, ctx.y_start)
        *gradients, dweight = _cast(gradients, (u, delta, A, Bm, Cm, D, delta_bias, dt_weight))
        return (*gradients, None, dweight, None, None, None, None)

    def selective_context(ctx, inputs, output):
        *tensors, ctx.delta_softplus, _ = inputs
        ctx.op_name = f'mmavs::selective_scan{suffix}_fwd'
        ctx.save_for_backward(*tensors, output[2])
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(output[1], output[2])

    def selective_backward(ctx, dout, *_):
        *tensors, states = ctx.saved_tensors
        if dout is None:
            return (None,) * 9
        _check_states(ctx, states)
        op = getattr(torch.ops.mmavs, f'selective_scan{suffix}_bwd')
        gradients = op(dout, *tensors, states, ctx.delta_softplus)
        return (*_cast(gradients, tuple(tensors)), None, None)

    def no_second_derivative(ctx, *_):
        raise RuntimeError('the selective scan has no second derivative; compute it without create_graph=True')

    def no_context(ctx, inputs, output):
        pass

    for kind, context, backward in (('cross_scan', cross_context, cross_backward),
                                    ('selective_scan', selective_context, selective_backward)):
        torch.library.register_autograd(f'mmavs::{kind}{suffix}_fwd', backward, setup_context=context)
        torch.library.register_autograd(f'mmavs::{kind}{suffix}_bwd', no_second_derivative, setup_context=no_context)


def _register_autocast(suffix: str) -> None:
    """Under autocast tokens keep their dtype, the widest of theirs; parameters and sums stay in float32."""
    def rule_of(name: str, device_type: str):
        def rule(u, delta, A, Bm, Cm, D, delta_bias, *rest):
            u, delta, Bm, Cm = same_dtype(u, delta, Bm, Cm)
            dtype = accumulate_dtype(u.dtype)
            A, D, delta_bias = (None if x is None else x.to(dtype) for x in (A, D, delta_bias))
            if name.startswith('cross') and rest[1] is not None:
                rest = (rest[0], rest[1].to(dtype), *rest[2:])
            with torch.autocast(device_type, enabled=False):
                return getattr(torch.ops.mmavs, name)(u, delta, A, Bm, Cm, D, delta_bias, *rest)
        return rule

    for name in (f'cross_scan{suffix}_fwd', f'selective_scan{suffix}_fwd'):
        for device_type in ('cpu', 'cuda'):
            _AUTOCAST.impl(name, rule_of(name, device_type), f'Autocast{device_type.upper()}')


def register_rules(suffix: str) -> None:
    """Register the rules of the four ops of a backend, which must be defined already."""
    _register_fakes(suffix)
    _register_autograd(suffix)
    _register_autocast(suffix)
    register_flops(suffix)
    if not suffix:
        torch.library.register_fake('mmavs::scan_exp2', lambda x, repeats: torch.empty_like(x))
