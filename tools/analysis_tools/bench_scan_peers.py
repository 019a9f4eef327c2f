"""Peers of the native scans for ``bench_scan.py``: what one writes in PyTorch, and copies + scan + merge.

All take the arguments of ``mmavs.ops.cross_selective_scan`` as a dict and ``index``, and return (B, L, C).
Letters: B sequences, K orders, L tokens, C channels, n state size, R rank of the step size.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from mmavs.ops import cross_selective_scan, resolve_backend, selective_scan
from mmavs.ops.dispatch import unusable_reason
from mmavs.ops.mamba_backend import copies_scan_merge

ARGUMENTS = ('u', 'delta', 'A', 'Bm', 'Cm', 'D', 'delta_bias')


def own(backend: str) -> Callable[[dict, Tensor], Tensor]:
    """The fused scan of this package on one of its backends."""
    def scan(inputs: dict, index: Tensor) -> Tensor:
        return cross_selective_scan(*(inputs[name] for name in ARGUMENTS), index=index, dt_weight=inputs['dt_weight'],
                                    backend=backend)
    return scan


def copies(backend: str) -> Callable[[dict, Tensor], Tensor]:
    """K reordered copies, one plain scan of a backend, and a sum in natural order."""
    def plain(u, delta, A, Bm, Cm, D, delta_bias, softplus):
        return selective_scan(u, delta, A, Bm, Cm, D, None, delta_bias, softplus, backend=backend)

    def scan(inputs: dict, index: Tensor) -> Tensor:
        return copies_scan_merge(plain, *(inputs[name] for name in ARGUMENTS), index, inputs['dt_weight'], True, 0,
                                 index.shape[1])
    return scan


def _reordered(inputs: dict, index: Tensor) -> tuple[Tensor, ...]:
    """Step sizes, inputs delta * u (B, K, L, C), B, C (B, K, L, n), A (K, n, C) and D * u, in the order of visits."""
    scans = index.shape[0]
    batch, _, channels = inputs['u'].shape
    delta = inputs['delta']
    if inputs['dt_weight'] is not None:
        delta = delta @ inputs['dt_weight'].transpose(1, 2)
    rows = index.long()[None, :, :, None].expand(batch, -1, -1, -1)

    def visit(x: Tensor) -> Tensor:
        return x.gather(2, rows.expand(-1, -1, -1, x.shape[3]))

    u = visit(inputs['u'][:, None].expand(-1, scans, -1, -1))
    step = F.softplus(visit(delta) + inputs['delta_bias'].view(scans, 1, channels))
    A = inputs['A'].view(scans, channels, -1).transpose(1, 2)
    return step, step * u, visit(inputs['Bm']), visit(inputs['Cm']), A, inputs['D'].view(scans, 1, channels) * u


def _merged(y: Tensor, index: Tensor) -> Tensor:
    inverse = index.long().argsort(1)[None, :, :, None].expand(y.shape[0], -1, -1, y.shape[3])
    return y.gather(2, inverse).sum(1)


def plain_loop(inputs: dict, index: Tensor) -> Tensor:
    """A loop over tokens under autograd, every step on all orders and channels."""
    step, driven, Bm, Cm, A, skip = _reordered(inputs, index)
    h, outputs = torch.zeros((), dtype=step.dtype, device=step.device), []
    for delta, drive, B, C in zip(step.unbind(2), driven.unbind(2), Bm.unbind(2), Cm.unbind(2), strict=True):
        h = torch.exp(delta[:, :, None] * A) * h + drive[:, :, None] * B[..., None]
        outputs.append((C[:, :, None] @ h)[:, :, 0])
    return _merged(torch.stack(outputs, 2) + skip, index)


def associative_scan(inputs: dict, index: Tensor) -> Tensor:
    """All tokens at once: log2(L) doubling steps on the pairs (decay, state) (Hillis and Steele, 1986)."""
    step, driven, Bm, Cm, A, skip = _reordered(inputs, index)
    decay = torch.exp(step[:, :, :, None] * A[:, None])          # (B, K, L, n, C)
    state = driven[:, :, :, None] * Bm[..., None]
    reach = 1
    while reach < index.shape[1]:
        state = torch.cat([state[:, :, :reach], state[:, :, reach:] + decay[:, :, reach:] * state[:, :, :-reach]], 2)
        decay = torch.cat([decay[:, :, :reach], decay[:, :, reach:] * decay[:, :, :-reach]], 2)
        reach *= 2
    return _merged((Cm[..., None] * state).sum(3) + skip, index)


def peers(device_type: str) -> tuple[dict[str, Callable], dict[str, str]]:
    """Backends and peers that can run on this kind of device, the best of ours first, and why the others cannot."""
    usable, skipped = {}, {}
    for name in ('cuda', 'cpp', 'mamba_ssm', 'torch'):
        reason = unusable_reason(name, device_type)
        if reason is None:
            usable[name] = own(name)
        else:
            skipped[name] = reason
    best = resolve_backend('auto', device_type)
    if best in ('cuda', 'cpp'):
        usable['copies+scan+merge'] = copies(best)
    return usable | {'plain loop': plain_loop, 'associative scan': associative_scan}, skipped


def bytes_under_autograd(name: str, inputs: dict, index: Tensor, training: bool) -> float:
    """About what a peer that materialises the states needs; 0 for those that do not."""
    scans, length = index.shape
    batch, _, channels = inputs['u'].shape
    states = batch * scans * length * channels * inputs['A'].shape[1] * 4.0
    if name == 'plain loop':
        return states * 4 if training else 0.0
    if name == 'associative scan':
        return states * (4 * max(length - 1, 1).bit_length() if training else 6)
    return 0.0
