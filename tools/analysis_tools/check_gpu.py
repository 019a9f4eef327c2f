"""Builds the scan ops on a machine with a GPU, checks them against float64 and times them; needs torch and nvcc only.

    python tools/analysis_tools/check_gpu.py --json gpu.json

Run from the repository root. It ends with exit code 0 if every check passes, 1 if one fails and 2 where it cannot run.
After ``--seconds`` it stops with what it has. A check that ends its process or the use of
the device does not end the others: they go on in a new process. The JSON file is complete after every check.

With ``--no-build --no-times`` it can run under compute-sanitizer, with ``--only`` for a few of the checks.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
RECORDS, FIRST = 'MMAVS_CHECK_GPU_RECORDS', 'MMAVS_CHECK_GPU_FIRST'   # tell a worker process its file and first item
MOST_WORKERS = 12
KILL_SECONDS = 10.   # that an ended process may take to end


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--json', type=Path, help='write the results to this file')
    parser.add_argument('--only', default='', help='run only the checks whose name contains this')
    parser.add_argument('--no-build', action='store_true', help='use the ops as they are built')
    parser.add_argument('--no-times', action='store_true', help='check only')
    parser.add_argument('--seconds', type=float, default=450., help='time for everything. Default: 450')
    parser.add_argument('--item-seconds', type=float, default=90., help='time for one check. Default: 90')
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


def run_check(case: Callable[[], dict[str, tuple[float, float]]]) -> dict:
    """Worst quantity of a check, its error, what is allowed, and the verdict."""
    errors = case()
    worst = max(errors, key=lambda k: errors[k][0] / max(errors[k][1], 1e-30))
    error, allowed = errors[worst]
    return dict(quantity=worst, error=error, allowed=allowed, passed=all(e <= limit for e, limit in errors.values()),
                errors={name: e for name, (e, _) in errors.items()})


def failure(text: str) -> dict:
    """What a row says of an item that gave no result."""
    return dict(quantity=text[:300], error=math.inf, allowed=0., passed=False)


def work(args: argparse.Namespace, path: Path, first: int) -> int:
    """Worker process: run the items from the given one on and append a record of each begin and end to a file."""
    from check_gpu_cases import all_cases

    from mmavs.ops import resolve_backend

    def write(**record) -> None:
        with path.open('a', encoding='utf-8') as file:
            file.write(json.dumps(record) + '\n')

    backend = resolve_backend('cuda' if args.device == 'cuda' else 'auto', args.device)
    gpu = dict(gpu=torch.cuda.get_device_name(), cuda=torch.version.cuda) if args.device == 'cuda' else {}
    items = [(name, lambda case=case: run_check(case)) for name, case in all_cases(args.device).items()
             if args.only in name]
    checks = len(items)
    if args.device == 'cuda' and not args.no_times:
        from check_gpu_times import all_times
        items += all_times().items()
    write(hello=dict(torch=torch.__version__, backend=backend, items=len(items), checks=checks, **gpu))
    for number in range(first, len(items)):
        name, function = items[number]
        write(begin=name)
        start = time.perf_counter()
        try:
            row = function()
        except Exception as problem:  # an item that breaks must not hide the others
            traceback.print_exc()
            row = failure(f'{type(problem).__name__}: {problem}')
        write(end=name, row=row | dict(seconds=time.perf_counter() - start))
        try:
            if args.device == 'cuda':
                torch.cuda.synchronize()
        except RuntimeError:
            return 3   # the device is lost to this process, but not to the next one
    write(done=True)
    return 0


def watch(command: list[str], path: Path, first: int, limit: float, deadline: float,
          show: Callable[[dict], None]) -> str | None:
    """Run a worker and hand its records to ``show``; why it was ended, or None if it ended by itself."""
    process = subprocess.Popen(command, env=os.environ | {RECORDS: str(path), FIRST: str(first)})
    seen, moved, reason = 0, time.monotonic(), None
    while True:
        ended = process.poll() is not None
        records = path.read_text(encoding='utf-8').splitlines(keepends=True)
        for line in records[seen:]:
            if line.endswith('\n'):
                show(json.loads(line))
                seen, moved = seen + 1, time.monotonic()
        now = time.monotonic()
        # A process that hangs in the driver may survive even its end.
        if ended or (reason is not None and now > moved + KILL_SECONDS):
            return reason
        if reason is None and now > min(moved + limit, deadline):
            reason, moved = 'the time is up' if now > deadline else f'no result after {limit:.0f} s', now
            process.kill()
        time.sleep(0.05)


def supervise(command: list[str], limit: float, deadline: float, report: dict, save: Callable[[], None]) -> None:
    """Run the items in worker processes, a new one where one dies, and collect their rows in the report."""
    state: dict = dict(next=0, running=None, done=False)

    def add(name: str, row: dict) -> None:
        kind = 'checks' if state['next'] < report['info']['checks'] else 'times'
        report[kind].append(dict(name=name, **row))
        state.update(next=state['next'] + 1, running=None)
        print_row(name, row)
        save()

    def show(record: dict) -> None:
        if 'hello' in record and 'info' not in report:
            report['info'] = record['hello']
            print(report['info'], flush=True)
        elif 'begin' in record:
            state['running'] = record['begin']
        elif 'end' in record:
            add(record['end'], record['row'])
        state['done'] |= 'done' in record

    for _ in range(MOST_WORKERS):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / 'records'
            path.touch()
            reason = watch(command, path, state['next'], limit, deadline, show)
        if state['running'] is not None:
            add(state['running'], failure(reason or 'its process died'))
        elif not state['done'] and state['next'] == 0:
            return
        if state['done'] or time.monotonic() > deadline or state['next'] >= report['info']['items']:
            return


def print_row(name: str, row: dict) -> None:
    """One line for a check or a time."""
    if 'passed' in row:
        print(f"{'ok  ' if row['passed'] else 'FAIL'} {name:40} {row['quantity']:12} {row['error']:9.2e} "
              f"(allowed {row['allowed']:.0e})", flush=True)
        if not row['passed'] and 'errors' in row:
            print('     all errors:', ', '.join(f'{name} {error:.2e}' for name, error in row['errors'].items()))
    elif 'forward_ms' in row:
        parts = [f"{way} {row[f'{way}_ms']:8.3f} ms {row[f'{way}_ps']:6.2f} ps/tok-ch "
                 f"{row[f'{way}_to_floor']:5.2f}x floor" for way in ('forward', 'backward')]
        peer = (f"{row['mamba_forward_ms']:.3f} / {row['mamba_backward_ms']:.3f} ms" if 'mamba_forward_ms' in row
                else 'not measured')
        print(f'{name:34}', *parts, f"+{row['extra_gib']:.2f} GiB", f'mamba_ssm {peer}', sep=' | ', flush=True)
    else:
        print(f"{name}: {row['copy_bytes_per_s'] / 1e12:.2f} TB/s", flush=True)


def main() -> int:
    """Build, then check in processes that find the package on their path."""
    start = time.monotonic()
    args = parse_args()
    if RECORDS in os.environ:
        return work(args, Path(os.environ[RECORDS]), int(os.environ[FIRST]))
    if args.device == 'cuda' and not torch.cuda.is_available():
        print(f'check_gpu.py needs a CUDA device, and torch {torch.__version__} finds none.', file=sys.stderr)
        return 2
    report: dict = dict(build_s=0. if args.no_build or args.device == 'cpu' else build(), checks=[], times=[])
    os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))

    def save() -> None:
        report['seconds'] = time.monotonic() - start
        if args.json:
            args.json.write_text(json.dumps(report, indent=1), encoding='utf-8')

    supervise([sys.executable, *sys.argv], args.item_seconds, start + args.seconds, report, save)
    save()
    if 'info' not in report:
        print('check_gpu.py could not start its checks.', file=sys.stderr)
        return 2
    rows = report['checks'] + report['times']
    failed = [row['name'] for row in rows if not row.get('passed', True)]
    missing = report['info']['items'] - len(rows)
    print(f"{sum(row['passed'] for row in report['checks'])} of {report['info']['checks']} checks passed in "
          f"{report['seconds']:.0f} s, {report['build_s']:.0f} s of them for the build"
          + (f'; failed: {failed}' if failed else '') + (f'; {missing} were not reached' if missing else ''))
    return int(bool(failed) or missing > 0 or not rows)


if __name__ == '__main__':
    sys.exit(main())
