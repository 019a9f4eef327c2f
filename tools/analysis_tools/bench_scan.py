"""Times the selective scans on the shapes of AVS-Mamba and compares them with the machine's floor and with peers.

    python tools/analysis_tools/bench_scan.py --json scan.json

Needs torch only. Measured first: the rate of exponentials, of multiply-adds and of memory, in the same run as
everything else. The floor of a forward scan is the time of n + 2 exponentials per token, channel and order (decays and
softplus), of the multiply-adds of the low-rank step size, and of reading and writing every tensor once; of a backward
scan 2n + 2 exponentials, three times the multiply-adds, and its tensors. Times are the best of several runs in
nanoseconds per token, channel and order (tok-ch). Output and gradients of every row are compared with float64 before it
is timed. On Linux ``THP_MEM_ALLOC_ENABLE=1`` spares page faults of large tensors.
"""

import argparse
import ctypes
import json
import math
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from bench_scan_peers import bytes_under_autograd, own, peers
from torch import Tensor

from mmavs.ops import resolve_backend, scan_index, temporal_orders

# Sequences, frames of a sequence, side of the finest map, orders.
SHAPES = {'frame 224': (5, 1, 28, 4), 'clip 224': (1, 5, 28, 8), 'frame 512': (5, 1, 64, 4), 'clip 512': (1, 5, 64, 8)}
LINEAR_SIDES = ((1, 32), (1, 64), (4, 64), (5, 128))  # frames and side of one map: 1k, 4k, 16k and 82k tokens
TOLERANCE = 2e-6
CLOCK = dict(now=time.perf_counter)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--shapes', nargs='+', default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument('--states', nargs='+', type=int, default=[16, 1], help='sizes n of the state')
    parser.add_argument('--channels', type=int, default=512)
    parser.add_argument('--rank', type=int, default=16, help='R of the step sizes; 0: step sizes in full')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--seconds', type=float, default=2.0, help='time for the runs of one row')
    parser.add_argument('--patience', type=float, default=20.0, help='skip peers whose single run would take longer')
    parser.add_argument('--memory', type=float, default=4.0, help='GiB that a peer may need')
    parser.add_argument('--skip', nargs='*', default=[], help='peers to leave out')
    parser.add_argument('--cpu-time', action='store_true',
                        help='one thread, and its processor time instead of the wall clock: for a machine that is busy')
    parser.add_argument('--no-linear', action='store_true', help='leave out the time per token from 1k to 82k tokens')
    parser.add_argument('--json', type=Path, help='write everything to this file')
    return parser.parse_args(argv)


def best_time(function: Callable[[], object], seconds: float, device: str = 'cpu') -> float:
    """Seconds of the fastest run, after one that warms up; at least one more, at most as fit into ``seconds``."""
    def once() -> float:
        start = CLOCK['now']()
        function()
        if device != 'cpu':
            torch.cuda.synchronize()
        return CLOCK['now']() - start

    first = once()
    if first > seconds:
        return first
    end, best = time.perf_counter() + seconds, float('inf')
    while time.perf_counter() < end or best == float('inf'):
        best = min(best, once())
    return best


def measure_machine(device: str) -> dict[str, float]:
    """Seconds per exponential, per multiply-add and per byte, all threads together."""
    native = device == 'cpu' and resolve_backend('auto', 'cpu') == 'cpp'
    x = torch.linspace(-20, 0, 4096 * max(torch.get_num_threads(), 1), device=device)
    if native:
        exponential = best_time(lambda: torch.ops.mmavs.scan_exp2(x, 2000), 1.0) / (2000 * x.numel())
    else:
        x = x.repeat(64)
        exponential = best_time(lambda: torch.exp(x, out=x), 1.0, device) / x.numel()
    matrix = torch.randn(1024, 1024, device=device)
    multiply = best_time(lambda: matrix @ matrix, 1.0, device) / 1024**3
    a, b, c = (torch.ones(1 << 25, device=device) for _ in range(3))
    byte = best_time(lambda: torch.add(a, b, alpha=3.0, out=c), 1.0, device) / (3 * 4 * a.numel())
    return dict(exponential=exponential, multiply_add=multiply, byte=byte)


def make_inputs(batch: int, index: Tensor, channels: int, n: int, rank: int, seed: int = 0) -> dict:
    """Inputs as the model gives them: slices of one projection, step sizes around [1e-3, 1e-1]."""
    scans, length = index.shape
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(index.device)

    projection = normal(batch, length, scans, (rank or channels) + 2 * n).permute(0, 2, 1, 3)
    delta, Bm, Cm = projection.split([rank or channels, n, n], 3)
    A = -torch.arange(1.0, n + 1, device=index.device).repeat(scans * channels, 1)
    return dict(u=normal(batch, length, channels), delta=delta, A=A, Bm=Bm, Cm=Cm, D=normal(scans * channels),
                delta_bias=normal(scans * channels) - 4.5,
                dt_weight=normal(scans, channels, rank) * rank**-0.5 if rank else None)


def floors(machine: dict[str, float], batch: int, index: Tensor, channels: int, n: int,
           rank: int) -> tuple[float, float]:
    """Least seconds of a forward and of a backward scan."""
    scans, length = index.shape
    visits = batch * scans * length
    rows = visits * (rank or channels) + 2 * visits * n      # delta, B and C
    tokens = batch * length * channels
    forward = (visits * channels * ((n + 2) * machine['exponential'] + rank * machine['multiply_add'])
               + 4 * (rows + 2 * tokens) * machine['byte'])
    backward = (visits * channels * ((2 * n + 2) * machine['exponential'] + 3 * rank * machine['multiply_add'])
                + 4 * (2 * rows + 3 * tokens) * machine['byte'])
    return forward, backward


def with_gradient(scan: Callable, inputs: dict, index: Tensor) -> Callable[[], None]:
    """A forward and backward run."""
    inputs = {name: None if x is None else x.detach().requires_grad_() for name, x in inputs.items()}
    leaves = [x for x in inputs.values() if x is not None]

    def run() -> None:
        out = scan(inputs, index)
        torch.autograd.grad(out, leaves, torch.ones_like(out))
    return run


def backward_alone(suffix: str, inputs: dict, index: Tensor) -> Callable[[], object]:
    """The backward op of one of our backends."""
    x = [inputs[name] for name in ('u', 'delta', 'A', 'Bm', 'Cm', 'D', 'delta_bias')] + [index, inputs['dt_weight']]
    forward, backward = (getattr(torch.ops.mmavs, f'cross_scan{suffix}_{way}') for way in ('fwd', 'bwd'))
    out, states = forward(*x, True, 0, index.shape[1], True)
    return lambda: backward(out, *x, states, True, 0)


def errors(scan: Callable, batch: int, channels: int, n: int, rank: int, device: str) -> tuple[float, float]:
    """Largest errors of output and gradients on a short sequence, each relative to the largest value of its tensor.

    They are taken against the PyTorch path in float64. A gradient that is missing or not finite is infinitely wrong.
    """
    index = scan_index(('THW', 'TWH'), ((9, 11), (4, 5)), layout='grouped', device=device)
    inputs = make_inputs(batch, index, channels, n, rank, seed=1)
    weight = torch.linspace(-1, 1, inputs['u'].numel(), device=device, dtype=torch.float64).sin().view_as(inputs['u'])

    def run(scan: Callable, dtype: torch.dtype) -> list[Tensor]:
        x = {name: None if x is None else x.detach().to(dtype).requires_grad_() for name, x in inputs.items()}
        leaves = [leaf for leaf in x.values() if leaf is not None]
        out = scan(x, index)
        if not out.requires_grad:
            return [out, *(torch.full_like(leaf, math.inf) for leaf in leaves)]
        return [out.detach(), *torch.autograd.grad(out, leaves, weight.to(out.dtype))]

    def relative(value: Tensor, exact: Tensor) -> float:
        error = float((value.double() - exact).abs().max() / exact.abs().max())
        return error if math.isfinite(error) else math.inf

    out, *gradients = map(relative, run(scan, torch.float32), run(own('torch'), torch.float64))
    return out, max(gradients)


def extra_memory(function: Callable[[], object]) -> float | None:
    """MiB that a run needs on top of what is there, from the kernel's high-water mark (Linux only)."""
    def read(key: str) -> float:
        line = next(line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith(key))
        return int(line.split()[1]) / 1024

    try:
        ctypes.CDLL(None).malloc_trim(0)  # give freed memory back, or its reuse would not be seen
        Path('/proc/self/clear_refs').write_text('5')
        before = read('VmRSS')
        function()
        return read('VmHWM') - before
    except (OSError, AttributeError, StopIteration):
        return None


def bench_shape(args: argparse.Namespace, name: str, n: int, machine: dict[str, float]) -> tuple[list[dict], list[str]]:
    """Rows of one shape and state size, and a line for each peer that was left out."""
    batch, frames, side, scans = SHAPES[name]
    levels = tuple((side // 2**i, side // 2**i) for i in range(3))
    orders, layout = (temporal_orders(8), 'interleaved') if scans == 8 else (('THW', 'TWH'), 'grouped')
    index = scan_index(orders, levels, num_frames=frames, layout=layout, device=args.device)
    inputs = make_inputs(batch, index, args.channels, n, args.rank)
    visits = batch * index.numel() * args.channels
    floor = floors(machine, batch, index, args.channels, n, args.rank)
    usable, skipped = peers(torch.device(args.device).type)
    rows, left_out = [], [f'{peer} skipped: {reason}' for peer, reason in skipped.items()]
    for peer, scan in usable.items():
        if peer in args.skip:
            left_out.append(f'{peer} skipped: --skip')
            continue
        row = dict(shape=name, n=n, peer=peer, tokens=index.shape[1])
        row['error'], row['gradient_error'] = errors(scan, 1, 32, n, args.rank, args.device)
        allowed = TOLERANCE if peer in ('cpp', 'cuda', 'copies+scan+merge') else 1e-4
        if row['error'] > allowed or row['gradient_error'] > 10 * allowed:
            left_out.append(f'{peer} is WRONG and was not timed: error {row["error"]:.1e}, of gradients '
                            f'{row["gradient_error"]:.1e}')
            continue
        for what in ('forward', 'training'):
            need = bytes_under_autograd(peer, inputs, index, what == 'training') / 2**30
            run = with_gradient(scan, inputs, index) if what == 'training' else (lambda s=scan: s(inputs, index))
            guess = visits * n * {'torch': 3e-9, 'plain loop': 4e-9, 'associative scan': 4e-8}.get(peer, 0.0)
            if need > args.memory or guess * (4 if what == 'training' else 1) > args.patience:
                left_out.append(f'{peer}, {what}: skipped, would need about {need:.0f} GiB and {guess:.0f} s')
                continue
            seconds = best_time(run, args.seconds, args.device)
            row[what] = seconds / visits * 1e9
            if peer in ('cpp', 'cuda', 'copies+scan+merge') and args.device == 'cpu':
                row[f'{what}_mib'] = extra_memory(run)
        if peer in ('cpp', 'cuda') or (peer == 'torch' and 'training' in row):
            alone = backward_alone('_torch' if peer == 'torch' else '', inputs, index)
            row['backward'] = best_time(alone, args.seconds, args.device) / visits * 1e9
        row['floor_forward'], row['floor_backward'] = (part / visits * 1e9 for part in floor)
        rows.append(row)
    return rows, left_out


def bench_linear(args: argparse.Namespace) -> list[dict]:
    """Time per token from 1k to 82k tokens."""
    rows, backend = [], resolve_backend('auto', torch.device(args.device).type)
    for frames, side in LINEAR_SIDES if backend in ('cpp', 'cuda') else ():
        index = scan_index(temporal_orders(8), ((side, side),), num_frames=frames, device=args.device)
        inputs = make_inputs(1, index, args.channels, args.states[0], args.rank)
        visits = index.numel() * args.channels
        times = [best_time(run, args.seconds, args.device) / visits * 1e9
                 for run in (lambda i=inputs, x=index: own(backend)(i, x), backward_alone('', inputs, index))]
        rows.append(dict(tokens=index.shape[1], forward=times[0], backward=times[1]))
    return rows


def table(rows: list[dict]) -> str:
    """Rows as text: times, ratio to the floor and the factor by which our best is faster."""
    lines = [f'{"shape":<10}{"n":>3}  {"":<18}{"error":>8}{"grads":>8}{"fwd":>9}{"/floor":>7}{"bwd":>9}{"/floor":>7}'
             f'{"fwd+bwd":>9}{"ours is faster by (fwd, fwd+bwd)":>34}{"MiB":>12}']
    for row in rows:
        ours = next(other for other in rows if (other['shape'], other['n']) == (row['shape'], row['n']))

        def number(value: float | None, width: int, digits: int = 2) -> str:
            return f'{"-":>{width}}' if value is None else f'{value:>{width}.{digits}f}'

        def ratio(key: str, other: float | None, row: dict = row) -> float | None:
            return row[key] / other if row.get(key) and other else None

        memory = '/'.join(number(row.get(f'{what}_mib'), 1, 0).strip() for what in ('forward', 'training'))
        lines.append(
            f'{row["shape"]:<10}{row["n"]:>3}  {row["peer"]:<18}{row["error"]:>8.0e}'
            f'{row["gradient_error"]:>8.0e}{number(row.get("forward"), 9)}'
            f'{number(ratio("forward", row["floor_forward"]), 7)}{number(row.get("backward"), 9)}'
            f'{number(ratio("backward", row["floor_backward"]), 7)}{number(row.get("training"), 9)}'
            f'{number(ratio("forward", ours.get("forward")), 17, 1)}'
            f'{number(ratio("training", ours.get("training")), 17, 1)}{memory:>12}')
    return '\n'.join(lines)


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns 1 if a result was wrong."""
    args = parse_args(argv)
    CLOCK['now'] = time.process_time if args.cpu_time else time.perf_counter
    if args.cpu_time:
        torch.set_num_threads(1)
    machine = measure_machine(args.device)
    print(f'{platform.machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads, R={args.rank}, '
          f'C={args.channels}; exp {machine["exponential"] * 1e9:.4f} ns, multiply-add '
          f'{machine["multiply_add"] * 1e9:.4f} ns, memory {1e-9 / machine["byte"]:.1f} GB/s; times in ns/tok-ch')
    rows, notes = [], []
    for name in args.shapes:
        for n in args.states:
            found, left_out = bench_shape(args, name, n, machine)
            rows += found
            notes += [f'{name}, n={n}: {line}' for line in left_out]
            print(table(found), *notes[len(notes) - len(left_out):], sep='\n', flush=True)
    linear = [] if args.no_linear else bench_linear(args)
    for row in linear:
        print(f'{row["tokens"]:>6} tokens: forward {row["forward"]:.3f}, backward {row["backward"]:.3f} ns/tok-ch')
    for way in ('forward', 'backward') if linear else ():
        times = [row[way] for row in linear]
        print(f'{way}: slowest {max(times) / min(times) - 1:.0%} above the fastest')
    if args.json:
        report = dict(machine=machine, threads=torch.get_num_threads(), torch=torch.__version__, rank=args.rank,
                      channels=args.channels, rows=rows, notes=notes, linear=linear)
        args.json.write_text(json.dumps(report, indent=2) + '\n')
    return int(any('WRONG' in note for note in notes))


if __name__ == '__main__':
    sys.exit(main())
