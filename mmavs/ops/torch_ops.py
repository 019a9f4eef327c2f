"""The PyTorch path as ops, so that it compiles, exports and differentiates exactly as the native ops do.

Letters: B sequences, K scan orders, G groups, L tokens, C or D channels, n state size.
"""

import torch
from torch import Tensor

from .reference import scan_backward, scan_forward
from .schemas import SCHEMAS, register_rules

SUFFIX = '_torch'
_LIBRARY = torch.library.Library('mmavs', 'FRAGMENT')


def _check_index(index: Tensor) -> None:
    """Every row must be a permutation; on a GPU this is not checked, as it would have to wait for the device."""
    if index.device.type == 'cpu' and index.numel() > 0:
        places = torch.arange(index.shape[1], dtype=index.dtype)
        if not bool((index.sort(1).values == places).all()):
            raise ValueError(f'every row of index must visit each of the positions 0...{index.shape[1] - 1} once, '
                             'but one leaves the range or visits a position twice')


def _cross_forward(u: Tensor, delta: Tensor, A: Tensor, Bm: Tensor, Cm: Tensor, D: Tensor | None,
                   delta_bias: Tensor | None, index: Tensor, dt_weight: Tensor | None, delta_softplus: bool,
                   y_start: int, y_len: int, save_states: bool) -> tuple[Tensor, Tensor]:
    _check_index(index)
    out, _, states = scan_forward(u[:, None], delta, A, Bm, Cm, D, delta_bias, index, dt_weight, delta_softplus,
                                  save_states)
    out = out[:, 0]
    # A copy lets go of the unwanted rows and is no view, which an op may not return.
    return (out if y_len == out.shape[1] else out[:, y_start:y_start + y_len].clone()), states


def _cross_backward(dout: Tensor, u: Tensor, delta: Tensor, A: Tensor, Bm: Tensor, Cm: Tensor, D: Tensor | None,
                    delta_bias: Tensor | None, index: Tensor, dt_weight: Tensor | None, states: Tensor,
                    delta_softplus: bool, y_start: int) -> tuple[Tensor, ...]:
    if dout.shape[1] != u.shape[1]:
        wanted, dout = dout, dout.new_zeros(u.shape)
        dout[:, y_start:y_start + wanted.shape[1]] = wanted
    du, *rest = scan_backward(dout[:, None], u[:, None], delta, A, Bm, Cm, D, delta_bias, index, dt_weight, states,
                              delta_softplus)
    return (du[:, 0], *rest)


def _group_rows(x: Tensor, groups: int) -> Tensor:
    """(B, D, L) -> (B, G, L, D / G)."""
    return x.unflatten(1, (groups, x.shape[1] // groups)).transpose(2, 3)


def _ungroup_rows(x: Tensor) -> Tensor:
    """(B, G, L, D / G) -> (B, D, L)."""
    return x.transpose(2, 3).flatten(1, 2).contiguous()


def _selective_forward(u: Tensor, delta: Tensor, A: Tensor, Bm: Tensor, Cm: Tensor, D: Tensor | None,
                       delta_bias: Tensor | None, delta_softplus: bool,
                       save_states: bool) -> tuple[Tensor, Tensor, Tensor]:
    groups = Bm.shape[1]
    out, last, states = scan_forward(_group_rows(u, groups), _group_rows(delta, groups), A, Bm.transpose(2, 3),
                                     Cm.transpose(2, 3), D, delta_bias, None, None, delta_softplus, save_states)
    return _ungroup_rows(out), last.transpose(2, 3).flatten(1, 2).contiguous(), states


def _selective_backward(dout: Tensor, u: Tensor, delta: Tensor, A: Tensor, Bm: Tensor, Cm: Tensor, D: Tensor | None,
                        delta_bias: Tensor | None, states: Tensor, delta_softplus: bool) -> tuple[Tensor, ...]:
    groups = Bm.shape[1]
    du, ddelta, dA, dB, dC, dD, dbias, _ = scan_backward(
        _group_rows(dout, groups), _group_rows(u, groups), _group_rows(delta, groups), A, Bm.transpose(2, 3),
        Cm.transpose(2, 3), D, delta_bias, None, None, states, delta_softplus)
    return (_ungroup_rows(du), _ungroup_rows(ddelta), dA, dB.transpose(2, 3).contiguous(),
            dC.transpose(2, 3).contiguous(), dD, dbias)


for _schema, _function in zip(SCHEMAS, (_cross_forward, _cross_backward, _selective_forward, _selective_backward),
                              strict=True):
    _text = _schema.format(s=SUFFIX)
    _LIBRARY.define(_text)
    _LIBRARY.impl(_text.split('(')[0], _function, 'CompositeExplicitAutograd')
register_rules(SUFFIX)
