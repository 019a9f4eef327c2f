"""Checks of the scan ops against float64, for check_gpu.py; needs torch only.

Letters: B clips, K orders, G groups, L tokens, C or D channels, n state size, R rank of the low-rank delta.

A case is a function of the device that returns ``{quantity: (error, allowed)}`` or raises. Errors are the largest
difference over the largest value.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from mmavs.ops import cross_selective_scan, scan_index, selective_scan, temporal_orders

Errors = dict[str, tuple[float, float]]
OUT, GRAD = 2e-6, 2e-5    # allowed in float32
EXACT = 1e-12             # allowed in float64


def relative_error(value: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest expected value; infinite where anything is not finite."""
    assert value.shape == expected.shape, (value.shape, expected.shape)
    if expected.numel() == 0:
        return 0.
    error = (value.double() - expected.double()).abs().max() / expected.double().abs().max().clamp_min(1e-30)
    return error.item() if torch.isfinite(error) else float('inf')


def make_cross(device: str, batch: int, orders: int, length: int, channels: int, n: int, *, rank: int = 0,
               dtype: torch.dtype = torch.float32, full: bool = True, seed: int = 0) -> dict[str, Tensor]:
    """Inputs of cross_selective_scan: random permutations, and strided slices of one projection for the tokens."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    rows, precise = orders * channels, torch.float64 if dtype == torch.float64 else torch.float32
    tokens = normal(batch, length, orders, rank + 2 * n).to(device, dtype).permute(0, 2, 1, 3)
    inputs = dict(u=normal(batch, length, channels).to(dtype),
                  delta=tokens[..., :rank] if rank else normal(batch, orders, length, channels).to(dtype),
                  A=-torch.rand(rows, n, generator=generator, dtype=torch.float64).mul(4).sub(4).exp().to(precise),
                  Bm=tokens[..., rank:rank + n], Cm=tokens[..., rank + n:])
    if rank:
        inputs['dt_weight'] = normal(orders, channels, rank).mul(rank ** -0.5).to(precise)
    if full:
        inputs.update(D=normal(rows).to(precise), delta_bias=(normal(rows) - 1).to(precise))
    table = torch.stack([torch.randperm(length, generator=generator) for _ in range(orders)]).int()
    return {name: value.to(device) for name, value in (inputs | dict(index=table)).items()}


def slow_cross(u: Tensor, delta: Tensor, A: Tensor, Bm: Tensor, Cm: Tensor, *, index: Tensor, D: Tensor | None = None,
               delta_bias: Tensor | None = None, dt_weight: Tensor | None = None, delta_softplus: bool = True,
               y_start: int = 0, y_len: int | None = None) -> Tensor:
    """The scan, token by token, in the dtype of its inputs; differentiable."""
    batch, orders, _, n = Bm.shape
    channels = u.shape[-1]
    if dt_weight is not None:
        delta = torch.einsum('bklr,kcr->bklc', delta, dt_weight)
    if delta_bias is not None:
        delta = delta + delta_bias.view(orders, 1, channels)
    delta = F.softplus(delta) if delta_softplus else delta
    table = index.long()[None, :, :, None]

    def visited(x: Tensor) -> tuple[Tensor, ...]:
        return x.expand(batch, orders, -1, -1).gather(2, table.expand(batch, -1, -1, x.shape[-1])).unbind(2)

    A = A.view(orders, channels, n)
    h, rows = u.new_zeros(batch, orders, channels, n), []
    for d, token, b, c in zip(visited(delta), visited(u[:, None]), visited(Bm), visited(Cm), strict=True):
        h = torch.exp(d[..., None] * A) * h + (d * token)[..., None] * b[:, :, None]
        rows.append((h * c[:, :, None]).sum(-1))
    back = index.long().argsort(1)[None, :, :, None].expand(batch, -1, -1, channels)
    y = torch.stack(rows, 2).gather(2, back)
    if D is not None:
        y = y + D.view(orders, 1, channels) * u[:, None]
    return y.sum(1)[:, y_start:None if y_len is None else y_start + y_len]


def poison(device: str) -> None:
    """Leave NaN in the memory that the next allocations get."""
    held = [torch.full((size,), torch.nan, device=device) for size in (64, 4096, 262144, 4194304)]
    del held


def compare(function: Callable[..., Tensor], slow: Callable[..., Tensor], inputs: dict[str, Tensor], *,
            out: float = OUT, grad: float = GRAD, **options) -> Errors:
    """Output and every gradient of ``function`` against ``slow`` in float64 on the same (rounded) inputs."""
    fast_in = {k: v.detach().requires_grad_(v.is_floating_point()) for k, v in inputs.items()}
    slow_in = {k: v.detach().double().requires_grad_() if v.is_floating_point() else v for k, v in inputs.items()}
    poison(inputs['u'].device.type)
    value, expected = function(**fast_in, **options), slow(**slow_in, **options)
    errors = {'out': (relative_error(value, expected), out)}
    dout = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    dout = dout.to(value.device, value.dtype)
    poison(inputs['u'].device.type)
    value.backward(dout)
    expected.backward(dout.double())
    for name, x in fast_in.items():
        if x.requires_grad:
            # A gradient is returned in its input's dtype, so 16-bit ones are compared after the same rounding.
            allowed = grad if x.dtype in (torch.float32, torch.float64) else torch.finfo(x.dtype).eps
            errors[f'd{name}'] = (relative_error(x.grad, slow_in[name].grad), allowed)
    return errors


def cross(device: str, *sizes: int, rank: int = 0, dtype: torch.dtype = torch.float32, **options) -> Errors:
    """cross_selective_scan of B, K, L, C, n."""
    allowed = dict(out=EXACT, grad=EXACT) if dtype == torch.float64 else {}
    return compare(cross_selective_scan, slow_cross, make_cross(device, *sizes, rank=rank, dtype=dtype), **allowed,
                   **options)


def orders_of_the_model(device: str) -> Errors:
    """Eight temporal orders over two frames of three levels, with the audio after them."""
    table = scan_index(temporal_orders(8), ((4, 6), (2, 3), (1, 2)), num_frames=2, audio='last', audio_length=2,
                       device=device)
    orders, length = table.shape
    inputs = make_cross(device, 1, orders, length, 40, 16, rank=16)
    return compare(cross_selective_scan, slow_cross, inputs | dict(index=table), y_start=length - 2)


def plain_inputs(device: str) -> Errors:
    """Without D, bias and softplus."""
    inputs = make_cross(device, 2, 2, 65, 10, 4, full=False)
    return compare(cross_selective_scan, slow_cross, inputs | dict(delta=inputs['delta'].abs()), delta_softplus=False)


def huge_steps(device: str) -> Errors:
    """Steps of 1e4 must give neither NaN nor infinity."""
    inputs = make_cross(device, 1, 2, 70, 12, 16)
    inputs['delta'][:, :, ::5] = 1e4
    return compare(cross_selective_scan, slow_cross, inputs)


def no_tokens(device: str) -> Errors:
    """L = 0: empty output, zero gradients of the parameters."""
    inputs = make_cross(device, 2, 2, 0, 8, 4)
    A = inputs['A'].requires_grad_()
    out = cross_selective_scan(**inputs)
    out.sum().backward()
    return {'elements': (float(out.numel()), 0.), 'dA': (A.grad.abs().max().item(), 0.)}


def selective(device: str, groups: int, length: int, n: int, extras: bool) -> Errors:
    """selective_scan with G groups, with or without D, z and bias; last state too."""
    generator = torch.Generator().manual_seed(groups)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    batch, channels = 2, 24
    inputs = dict(u=normal(batch, channels, length), delta=normal(batch, channels, length),
                  A=-normal(channels, n).exp(), B=normal(batch, groups, n, length), C=normal(batch, groups, n, length))
    if extras:
        inputs |= dict(D=normal(channels), z=normal(batch, channels, length), delta_bias=normal(channels))

    def slow(u, delta, A, B, C, D=None, z=None, delta_bias=None):
        delta = F.softplus(delta if delta_bias is None else delta + delta_bias[:, None])
        B, C = (x.repeat_interleave(channels // groups, 1).unbind(-1) for x in (B, C))
        h, rows = u.new_zeros(batch, channels, n), []
        for d, token, b, c in zip(delta.unbind(-1), u.unbind(-1), B, C, strict=True):
            h = torch.exp(d[..., None] * A) * h + (d * token)[..., None] * b
            rows.append((h * c).sum(-1))
        y = torch.stack(rows, -1) + (0 if D is None else D[:, None] * u)
        return torch.cat([y if z is None else y * F.silu(z), h], -1)

    def fast(**tensors):
        y, last = selective_scan(**tensors, delta_softplus=True, return_last_state=True)
        return torch.cat([y, last.detach()], -1)

    with torch.no_grad():
        last = relative_error(fast(**inputs)[..., length:], slow(**{k: v.double() for k, v in inputs.items()})
                              [..., length:])
    errors = compare(lambda **x: fast(**x)[..., :length], lambda **x: slow(**x)[..., :length], inputs)
    return errors | {'last_state': (last, OUT)}


def gradcheck(device: str) -> Errors:
    """torch.autograd.gradcheck of the real kernels in float64."""
    inputs = make_cross(device, 1, 2, 5, 3, 2, rank=2, dtype=torch.float64)
    names = [name for name, x in inputs.items() if x.is_floating_point()]
    leaves = [inputs[name].detach().clone().requires_grad_() for name in names]

    def function(*tensors):
        return cross_selective_scan(**dict(zip(names, tensors, strict=True)), index=inputs['index'])

    # The scan has no atomics, so gradients of two runs must agree to the last bit.
    passed = torch.autograd.gradcheck(function, leaves, nondet_tol=0.)
    return {'gradcheck': (0. if passed else 1., 0.)}


def long_sequence(device: str, n: int) -> Errors:
    """50000 tokens in float32 against the float64 kernel, which the other cases check."""
    return compare(cross_selective_scan, cross_selective_scan, make_cross(device, 1, 2, 50000, 33, n, rank=4))


def bitwise_equal(device: str) -> Errors:
    """Deterministic mode, twice: output and gradients equal bit by bit."""
    results = []
    torch.use_deterministic_algorithms(True)
    try:
        for _ in range(2):
            inputs = {k: v.requires_grad_(v.is_floating_point())
                      for k, v in make_cross(device, 2, 4, 1029, 100, 16, rank=16).items()}
            out = cross_selective_scan(**inputs)
            leaves = [x for x in inputs.values() if x.requires_grad]
            results.append([out, *torch.autograd.grad(out.square().sum(), leaves)])
    finally:
        torch.use_deterministic_algorithms(False)
    return {'differing tensors': (float(sum(not torch.equal(a, b) for a, b in zip(*results, strict=True))), 0.)}


def opcheck(device: str) -> Errors:
    """torch.library.opcheck of the four native ops: schema, autograd registration and fake tensors."""
    ops, inputs = torch.ops.mmavs, make_cross(device, 2, 2, 70, 9, 16, rank=4)
    plain = [inputs[name] for name in ('u', 'delta', 'A', 'Bm', 'Cm', 'D', 'delta_bias', 'index', 'dt_weight')]
    rows = [inputs['u'].mT, inputs['u'].mT, inputs['A'][:9], *(inputs[name][:, :1].mT for name in ('Bm', 'Cm')),
            inputs['D'][:9], inputs['delta_bias'][:9]]
    out, states = ops.cross_scan_fwd(*plain, True, 3, 40, True)
    y, _, kept = ops.selective_scan_fwd(*rows, True, True)
    leaves, row_leaves = ([x.clone().requires_grad_(x.is_floating_point()) for x in group] for group in (plain, rows))
    calls = [(ops.cross_scan_fwd, (*leaves, True, 3, 40, save)) for save in (False, True)]
    calls += [(ops.selective_scan_fwd, (*row_leaves, True, save)) for save in (False, True)]
    calls += [(ops.cross_scan_bwd, (out, *plain, states, True, 3)), (ops.selective_scan_bwd, (y, *rows, kept, True))]
    for op, arguments in calls:
        torch.library.opcheck(op.default, arguments,
                              test_utils=('test_schema', 'test_autograd_registration', 'test_faketensor'))
    return {'opcheck': (0., 0.)}


def no_wait(device: str) -> Errors:
    """On another stream and with every wait for the device made an error, the result is the same."""
    inputs = {k: v.requires_grad_(v.is_floating_point()) for k, v in make_cross(device, 1, 4, 500, 64, 16).items()}
    expected = cross_selective_scan(**inputs)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    torch.cuda.set_sync_debug_mode('error')
    try:
        with torch.cuda.stream(side):
            value = cross_selective_scan(**inputs)
            value.backward(torch.ones_like(value))
    finally:
        torch.cuda.set_sync_debug_mode('default')
    torch.cuda.synchronize()
    return {'out': (relative_error(value, expected), 0.)}


def graph_replay(device: str) -> Errors:
    """Forward and backward captured in a CUDA graph and replayed on other values, against plain calls."""
    inputs = {k: v.requires_grad_(v.is_floating_point()) for k, v in make_cross(device, 1, 4, 500, 64, 16).items()}
    leaves = [x for x in inputs.values() if x.requires_grad]

    def run() -> list[Tensor]:
        out = cross_selective_scan(**inputs)
        return [out, *torch.autograd.grad(out, leaves, torch.ones_like(out))]

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = run()
    with torch.no_grad():
        inputs['u'].mul_(-2).add_(1)
    graph.replay()
    return {'graph': (max(map(relative_error, captured, run())), 0.)}


def all_cases(device: str) -> dict[str, Callable[[], Errors]]:
    """Name -> check."""
    cases: dict[str, Callable[[], Errors]] = {}
    for length in (1, 2, 7, 63, 64, 65, 127, 1029):
        for n in (1, 2, 3, 4, 8, 16):
            rank = (0, 3, 16)[(length + n) % 3]
            cases[f'cross L={length} n={n} R={rank}'] = partial(cross, device, 2, 2, length, 21, n, rank=rank)
    for n in (1, 4, 16):
        cases[f'cross float64 n={n}'] = partial(cross, device, 2, 3, 65, 20, n, rank=5, dtype=torch.float64)
        for dtype in (torch.bfloat16, torch.float16):
            cases[f'cross {dtype} n={n}'] = partial(cross, device, 2, 2, 127, 40, n, rank=16, dtype=dtype)
    for n in (17, 64, 256):
        cases[f'cross n={n}'] = partial(cross, device, 1, 2, 40, 12, n, rank=2)
    for start, count in ((0, 10), (100, 27), (40, 1), (60, 0)):
        cases[f'cross y_start={start} y_len={count}'] = partial(cross, device, 2, 2, 127, 12, 16, rank=4,
                                                                y_start=start, y_len=count)
    cases['cross 520 channels'] = partial(cross, device, 1, 8, 200, 520, 16, rank=16)
    for groups in (1, 4, 8):
        for extras in (False, True):
            cases[f'selective G={groups} extras={extras}'] = partial(selective, device, groups, 129, 8, extras)
    named = (orders_of_the_model, plain_inputs, huge_steps, no_tokens, gradcheck, bitwise_equal, opcheck)
    cases |= {f.__name__.replace('_', ' '): partial(f, device) for f in named}
    if device == 'cuda':
        cases |= {'no wait for the device': partial(no_wait, device), 'graph replay': partial(graph_replay, device)}
        cases |= {f'50000 tokens n={n}': partial(long_sequence, device, n) for n in (1, 16)}
    return cases
