"""Floating-point operations of the scans, one multiply-add counted as 2 and one exponential or logarithm as 1.

Per token, channel and state: decay ``exp(delta A)`` 2, input ``(delta u) B`` 1, state 2, output ``C h`` 2; per token
and channel: bias 1, softplus 4, ``delta u`` 1, ``D u`` 2, the sum over the orders 1, and 2R for a low-rank step size.
Outputs that are not wanted cost no ``C h`` and ``D u``.

Letters: B sequences, K scans, L tokens, C channels, n state size, R rank of the step size.
"""

from typing import Any

import torch
from torch.utils.flop_counter import register_flop_formula


def scan_flops(tokens: int, channels: int, states: int, rank: int = 0, outputs: int | None = None) -> int:
    """Operations of a forward scan.

    Args:
        tokens: B * K * L, visits of tokens.
        channels: C.
        states: n.
        rank: R; 0: the step sizes are given. Default: 0.
        outputs: B * K * y_len, wanted outputs. Default: all.
    """
    outputs = tokens if outputs is None else outputs
    return channels * (tokens * (5 * states + 6 + 2 * rank) + outputs * (2 * states + 3))


def scan_backward_flops(tokens: int, channels: int, states: int, rank: int = 0, outputs: int | None = None) -> int:
    """Operations of a backward scan, the second computation of the states included; arguments as in ``scan_flops``.

    Per token, channel and state: states again 5, gradients of the state 1, of B 2, of the input 2, of the decay 1, of A
    2 and of the step size 2, for wanted outputs the output's part of the state 2 and the gradient of C 2.
    """
    outputs = tokens if outputs is None else outputs
    return channels * (tokens * (15 * states + 17 + 6 * rank) + outputs * (4 * states + 4))


def _cross_sizes(u: tuple, A: tuple, index: tuple, dt_weight: tuple | None) -> tuple[int, int, int, int]:
    return u[0] * index[0] * u[1], u[2], A[1], dt_weight[2] if dt_weight is not None else 0


def _cross_forward(u, delta, A, Bm, Cm, D, delta_bias, index, dt_weight, delta_softplus, y_start, y_len, *_: Any,
                   **__: Any) -> int:
    return scan_flops(*_cross_sizes(u, A, index, dt_weight), outputs=u[0] * index[0] * y_len)


def _cross_backward(dout, u, delta, A, Bm, Cm, D, delta_bias, index, dt_weight, *_: Any, **__: Any) -> int:
    return scan_backward_flops(*_cross_sizes(u, A, index, dt_weight), outputs=u[0] * index[0] * dout[1])


def _selective_forward(u, delta, A, *_: Any, **__: Any) -> int:
    return scan_flops(u[0] * u[2], u[1], A[1])


def _selective_backward(dout, u, delta, A, *_: Any, **__: Any) -> int:
    return scan_backward_flops(u[0] * u[2], u[1], A[1])


def register_flops(suffix: str) -> None:
    """Teach ``torch.utils.flop_counter`` the ops of a backend, which must be defined already."""
    for name, formula in (('cross_scan{}_fwd', _cross_forward), ('cross_scan{}_bwd', _cross_backward),
                          ('selective_scan{}_fwd', _selective_forward), ('selective_scan{}_bwd', _selective_backward)):
        register_flop_formula(getattr(torch.ops.mmavs, name.format(suffix)))(formula)
