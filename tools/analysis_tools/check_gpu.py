"""Builds the scan ops on a machine with a GPU, checks them against float64 and times them; needs torch and nvcc only.

    python tools/analysis_tools/check_gpu.py --json gpu.json

Run from the repository root. It ends with exit code 0 if every check passes, 1 if one fails and 2 where it cannot run.
Allow 8 minutes. Times are compared with a copy of the same device measured in the same run, with the floors of an H200
(4.3 TB/s, 132 multiprocessors) and with mamba_ssm where its compiled scan is installed.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
STAGE = 'MMAVS_CHECK_GPU_STAGE'
# Clips or frames, orders, tokens; 512 channels and rank 16 throughout.
SHAPES = {'frames 224': (60, 4, 1029), 'clip 224': (6, 8, 10290), 'frames 512': (5, 4, 5376),
          'clip 512': (1, 8, 26880), 'clips 512, batch 2': (2, 8, 26880), 'clip 512, stride 4': (1, 8, 81920)}
FLOORS = {1: (2.8, 4.7), 16: (4.3, 6.3)}   # ps per token, channel and order: forward, backward, on an H200


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--json', type=Path, help='write the results to this file')
    parser.add_argument('--only', default='', help='run only the checks whose name contains this')
    parser.add_argument('--no-build', action='store_true', help='use the ops as they are built')
    parser.add_argument('--no-times', action='store_true', help='check only')
    parser.add_argument('--device', default='cuda', choices=('cuda', 'cpu'), help='cpu: try the checks without a GPU')
    return parser.parse_args(argv)


def build() -> float:
    """Compile the ops in place for the GPU of this machine; returns the seconds it took."""
    start = time.perf_counter()
    major, minor = torch.cuda.get_device_capability()
    environment = os.environ | {'FORCE_CUDA': '1', 'MMAVS_WITH_OPS': '1', 'TORCH_CUDA_ARCH_LIST': f'{major}.{minor}'}
    result = subprocess.run([sys.executable, 'setup.py', 'build_ext', '--inplace'], cwd=ROOT, env=environment,
                            capture_output=True, text=True)
    if result.returncode:
        sys.exit(f'the build failed:\n{result.stdout[-4000:]}\n{result.stderr[-4000:]}')
    return time.perf_counter() - start


def run_checks(device: str, only: str) -> list[dict]:
    """Every check, in one row each: name, worst quantity, its error, what is allowed, verdict."""
    from check_gpu_cases import all_cases
    rows = []
    for name, case in all_cases(device).items():
        if only not in name:
            continue
        try:
            errors = case()
            worst = max(errors, key=lambda k: errors[k][0] / max(errors[k][1], 1e-30))
            error, allowed = errors[worst]
            row = dict(check=name, quantity=worst, error=error, allowed=allowed,
                       passed=all(e <= limit for e, limit in errors.values()))
        except Exception as problem:  # a check that breaks must not hide the others
            row = dict(check=name, quantity=f'{type(problem).__name__}: {problem}'[:300], error=float('inf'),
                       allowed=0., passed=False)
        rows.append(row)
        print(f"{'ok  ' if row['passed'] else 'FAIL'} {name:40} {row['quantity']:12} {row['error']:9.2e} "
              f"(allowed {row['allowed']:.0e})", flush=True)
    return rows


def milliseconds(function: Callable[[], object], budget: float = 1.) -> float:
    """Shortest time of a call, by events, over about ``budget`` seconds and 3 to 30 calls."""
    function()
    torch.cuda.synchronize()
    best, start = float('inf'), time.perf_counter()
    for call in range(30):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        function()
        end.record()
        end.synchronize()
        best = min(best, begin.elapsed_time(end))
        if call >= 2 and time.perf_counter() - start > budget:
            break
    return best


def copy_bandwidth() -> float:
    """Bytes read and written per second by a device-to-device copy of 1 GiB."""
    source = torch.empty(2 ** 28, device='cuda')
    target = torch.empty_like(source)
    return 2 * source.nbytes / milliseconds(lambda: target.copy_(source)) * 1e3


def mamba_peer(inputs: dict[str, torch.Tensor]) -> Callable[[], torch.Tensor] | None:
    """mamba_ssm's scan on copies of the tokens reordered and expanded beforehand, which flatters it; None if absent."""
    from mmavs.ops.mamba_backend import mamba_selective_scan, mamba_unusable_reason
    if mamba_unusable_reason() is not None:
        return None
    batch, orders, length = inputs['Bm'].shape[:3]
    channels = inputs['u'].shape[-1]
    delta = torch.einsum('bklr,kcr->bkcl', inputs['delta'], inputs['dt_weight'])
    u = inputs['u'].transpose(1, 2).repeat(1, orders, 1).contiguous()
    B, C = (inputs[name].transpose(2, 3).contiguous() for name in ('Bm', 'Cm'))
    delta = delta.reshape(batch, orders * channels, length).contiguous()
    leaves = [x.detach().requires_grad_() for x in (u, delta, inputs['A'], B, C, inputs['D'], inputs['delta_bias'])]
    return lambda: mamba_selective_scan(*leaves, True)[0]


def time_pass(forward: Callable[[], torch.Tensor]) -> tuple[float, float]:
    """Milliseconds of a forward pass that keeps what the backward pass needs, and of that backward pass."""
    out = forward()
    dout = torch.ones_like(out)
    return milliseconds(forward), milliseconds(lambda: out.backward(dout, retain_graph=True))


def run_times(bandwidth: float) -> list[dict]:
    """Forward and backward at the model's shapes."""
    from check_gpu_cases import make_cross

    from mmavs.ops import cross_selective_scan
    rows = []
    for name, (batch, orders, length) in SHAPES.items():
        for n, dtype in ((16, torch.float32), (16, torch.bfloat16), (1, torch.float32)):
            made = make_cross('cuda', batch, orders, length, 512, n, rank=16, dtype=dtype)
            inputs = {k: v.requires_grad_(v.is_floating_point()) for k, v in made.items()}
            cells = batch * orders * length * 512
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            own = time_pass(lambda x=inputs: cross_selective_scan(**x))
            row = dict(shape=name, n=n, dtype=str(dtype).removeprefix('torch.'), forward_ms=own[0], backward_ms=own[1],
                       extra_gib=(torch.cuda.max_memory_allocated() - before) / 2 ** 30)
            for way, spent, floor in zip(('forward', 'backward'), own, FLOORS[n], strict=True):
                row[f'{way}_ps'] = spent * 1e9 / cells
                row[f'{way}_to_floor'] = row[f'{way}_ps'] / floor
                row[f'{way}_bytes_of_copy'] = spent * 1e-3 * bandwidth / cells
            peer = mamba_peer(made) if dtype == torch.float32 else None
            if peer is not None:
                row['mamba_forward_ms'], row['mamba_backward_ms'] = time_pass(peer)
            rows.append(row)
            print(f"{name:20} n={n:<2} {row['dtype']:8} forward {own[0]:8.3f} ms {row['forward_ps']:6.2f} ps/tok-ch "
                  f"{row['forward_to_floor']:5.2f}x floor | backward {own[1]:8.3f} ms {row['backward_ps']:6.2f} "
                  f"{row['backward_to_floor']:5.2f}x | +{row['extra_gib']:.2f} GiB | mamba_ssm "
                  + (f"{row['mamba_forward_ms']:.3f} / {row['mamba_backward_ms']:.3f} ms" if peer else 'not measured'),
                  flush=True)
            del inputs, made, peer
    return rows


def second_stage(args: argparse.Namespace) -> int:
    """Checks and times with the built package importable."""
    from mmavs.ops import resolve_backend
    wanted = {'cuda': 'cuda', 'cpu': 'auto'}[args.device]
    backend = resolve_backend(wanted, args.device)
    report = dict(torch=torch.__version__, build_s=float(os.environ[STAGE]), backend=backend)
    if args.device == 'cuda':
        report |= dict(device=torch.cuda.get_device_name(), capability=torch.cuda.get_device_capability())
    print(report, flush=True)
    report['checks'] = run_checks(args.device, args.only)
    if args.device == 'cuda' and not args.no_times:
        report['copy_bytes_per_s'] = copy_bandwidth()
        print(f"copy: {report['copy_bytes_per_s'] / 1e12:.2f} TB/s")
        report['times'] = run_times(report['copy_bytes_per_s'])
    failed = [row['check'] for row in report['checks'] if not row['passed']]
    print(f"{len(report['checks']) - len(failed)} of {len(report['checks'])} checks passed"
          + (f'; failed: {failed}' if failed else ''))
    if args.json:
        args.json.write_text(json.dumps(report, indent=1), encoding='utf-8')
    return int(bool(failed) or not report['checks'])


def main() -> int:
    """Build, then check in a process that finds the package on its path."""
    args = parse_args()
    if STAGE in os.environ:
        return second_stage(args)
    if args.device == 'cuda' and not torch.cuda.is_available():
        print(f'check_gpu.py needs a CUDA device, and torch {torch.__version__} finds none.', file=sys.stderr)
        return 2
    seconds = 0. if args.no_build or args.device == 'cpu' else build()
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))
    return subprocess.run([sys.executable, *sys.argv], env=os.environ | {STAGE: str(seconds), 'PYTHONPATH': path}
                          ).returncode


if __name__ == '__main__':
    sys.exit(main())
