"""check_gpu.py: what it says without a GPU, and that its checks find a wrong kernel; the checks run on the CPU here."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mmavs.ops import load_extension

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / 'tools' / 'analysis_tools' / 'check_gpu.py'


def run(*arguments):
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_says_in_one_sentence_that_there_is_no_gpu():
    result = run()
    assert result.returncode == 2
    assert result.stdout == ''
    assert result.stderr == f'check_gpu.py needs a CUDA device, and torch {torch.__version__} finds none.\n'


def test_checks_and_report(tmp_path):
    """A check on the CPU: its row in the JSON file and the exit code."""
    result = run('--device', 'cpu', '--only', 'L=63 n=3', '--json', str(tmp_path / 'report.json'))
    assert result.returncode == 0, result.stdout + result.stderr
    report = json.loads((tmp_path / 'report.json').read_text())
    (row,) = report['checks']
    assert row['name'] == 'cross L=63 n=3 R=0'
    assert row['passed']
    assert 0 < row['error'] < row['allowed']
    assert report['times'] == []
    backend = 'cpp' if load_extension() is None else 'torch'
    assert report['info'] == dict(torch=torch.__version__, backend=backend, items=1, checks=1)
    assert '1 of 1 checks passed' in result.stdout


def test_no_check_at_all_is_a_failure():
    assert run('--device', 'cpu', '--only', 'no such check').returncode == 1


WORKER = '''
import json, os, sys, time

def write(**record):
    with open(os.environ['MMAVS_CHECK_GPU_RECORDS'], 'a') as file:
        file.write(json.dumps(record) + '\\n')

write(hello=dict(items=5, checks=4))
for number in range(int(os.environ['MMAVS_CHECK_GPU_FIRST']), 5):
    write(begin=f'item {number}')
    if number == 1:
        os._exit(9)
    if number == 2:
        time.sleep(60)
    row = dict(copy_bytes_per_s=1e12) if number == 4 else dict(quantity='out', error=0., allowed=1., passed=True)
    write(end=f'item {number}', row=row)
    if number == 3:
        sys.exit(3)   # what a worker does that has lost the device
write(done=True)
'''


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import check_gpu
    return check_gpu


def supervise(script, limit, seconds):
    report, saved = dict(checks=[], times=[]), []
    script.supervise([sys.executable, '-c', WORKER], limit, time.monotonic() + seconds, report,
                     lambda: saved.append(len(report['checks']) + len(report['times'])))
    return report, saved


def test_what_comes_after_a_crash_or_a_hang_is_still_run(script):
    report, saved = supervise(script, limit=1, seconds=60)
    assert [(row['name'], row['passed'], row['quantity']) for row in report['checks']] == [
        ('item 0', True, 'out'), ('item 1', False, 'its process died'), ('item 2', False, 'no result after 1 s'),
        ('item 3', True, 'out')]
    assert report['times'] == [dict(name='item 4', copy_bytes_per_s=1e12)]
    assert saved == [1, 2, 3, 4, 5], 'the report is saved after every row'


def test_nothing_runs_after_the_deadline(script):
    start = time.monotonic()
    report, _ = supervise(script, limit=60, seconds=1.5)
    assert time.monotonic() - start < 10
    assert report['checks'][-1]['name'] == 'item 2'
    assert report['checks'][-1]['quantity'] == 'the time is up'
    assert report['times'] == []


def test_worker_that_does_not_start(script, capfd):
    report = dict(checks=[], times=[])
    script.supervise([sys.executable, '-c', 'raise SystemExit("no package")'], 5, time.monotonic() + 60, report, print)
    assert report == dict(checks=[], times=[])
    assert 'no package' in capfd.readouterr().err


def test_worker_goes_on_at_the_given_item_and_leaves_a_lost_device(script, cases, monkeypatch, tmp_path, capsys):
    """An error that stays, as CUDA errors do, ends the worker after its row is written."""
    def broken(device):
        raise RuntimeError('illegal memory access')

    monkeypatch.setattr(cases, 'all_cases', lambda device: {
        'first': lambda: pytest.fail('was done before'), 'second': lambda: {'out': (0., 1.)},
        'third': lambda: broken(device), 'fourth': lambda: {'out': (2., 1.), 'du': (0., 1.)}})
    path = tmp_path / 'records'
    assert script.work(script.parse_args(['--device', 'cpu']), path, 1) == 0
    records = [json.loads(line) for line in path.read_text().splitlines()]
    rows = {record['end']: record['row'] for record in records if 'end' in record}
    assert list(rows) == ['second', 'third', 'fourth']
    assert [row['passed'] for row in rows.values()] == [True, False, False]
    assert rows['third']['quantity'] == 'RuntimeError: illegal memory access'
    assert rows['fourth'].pop('seconds') >= 0
    assert rows['fourth'] == dict(quantity='out', error=2., allowed=1., passed=False, errors=dict(out=2., du=0.))
    assert 'in broken' in capsys.readouterr().err, 'where an item broke is shown'
    script.print_row('fourth', rows['fourth'])
    assert 'all errors: out 2.00e+00, du 0.00e+00' in capsys.readouterr().out

    path.unlink()
    monkeypatch.setattr(script.torch.cuda, 'synchronize', lambda: broken('cuda'))
    monkeypatch.setattr(script.torch.cuda, 'get_device_name', lambda: 'a GPU')
    monkeypatch.setattr('mmavs.ops.resolve_backend', lambda *names: 'cuda')
    assert script.work(script.parse_args(['--no-times']), path, 1) == 3
    assert json.loads(path.read_text().splitlines()[-1])['end'] == 'second'


def test_times_are_reported(script, cases, monkeypatch, capsys):
    """A whole row of times, with the device's clock and memory replaced."""
    import check_gpu_times
    monkeypatch.setattr(check_gpu_times, 'milliseconds', lambda function: (function(), 2.)[1])
    monkeypatch.setattr(check_gpu_times, 'copy_bandwidth', lambda: 4e12)
    monkeypatch.setattr(check_gpu_times, 'peak_memory', lambda *_: 0.5)
    monkeypatch.setattr(check_gpu_times, 'make_cross', lambda device, *sizes, **options: cases.make_cross(
        'cpu', *sizes, **options))
    row = check_gpu_times.time_shape(1, 2, 10, 16, torch.float32, channels=4)
    assert row['forward_ps'] == pytest.approx(2e9 / 80)
    assert row['backward_to_floor'] == pytest.approx(2e9 / 80 / 6.3)
    assert row['forward_bytes_of_copy'] == pytest.approx(2e-3 * 4e12 / 80)
    script.print_row('clip', row)
    assert 'backward    2.000 ms' in capsys.readouterr().out
    assert len(check_gpu_times.all_times()) == 1 + len(check_gpu_times.SHAPES) * len(check_gpu_times.KINDS)


def test_shortest_time_of_calls_that_wait_for_a_busy_device(cases, monkeypatch):
    """3 to 30 calls, and no more than the budget allows; the device is kept busy before each is queued."""
    import check_gpu_times
    log, spent = [], [5., 3., 4., 200., 200.]

    class Event:
        def __init__(self, enable_timing):
            pass

        def record(self):
            log.append('record')

        def synchronize(self):
            pass

        def elapsed_time(self, end):
            return spent[log.count('busy') - 1]

    monkeypatch.setattr(torch.cuda, 'Event', Event)
    monkeypatch.setattr(torch.cuda, '_sleep', lambda cycles: log.append('busy'))
    assert check_gpu_times.milliseconds(lambda: log.append('call')) == 3
    assert log == ['call', *['busy', 'record', 'call', 'record'] * 5]
    log.clear()
    assert check_gpu_times.milliseconds(lambda: log.append('call'), budget_ms=0) == 3
    assert log.count('call') == 4


def test_peak_memory_is_that_of_one_pass(cases, monkeypatch):
    import check_gpu_times
    monkeypatch.setattr(torch.cuda, 'synchronize', lambda: None)
    monkeypatch.setattr(torch.cuda, 'reset_peak_memory_stats', lambda: None)
    monkeypatch.setattr(torch.cuda, 'memory_allocated', lambda: 2 ** 30)
    monkeypatch.setattr(torch.cuda, 'max_memory_allocated', lambda: 3 * 2 ** 30)
    x = torch.ones(3, requires_grad=True)
    assert check_gpu_times.peak_memory(lambda: x * 2, [x]) == 2


@pytest.fixture
def cases(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import check_gpu_cases
    return check_gpu_cases


@pytest.mark.parametrize('what', ['value', 'gradient', 'unwritten'])
def test_a_wrong_kernel_is_found(cases, monkeypatch, what):
    """Errors of 1e-4 of the largest value, and NaN, exceed what is allowed."""
    right = cases.cross_selective_scan

    class WrongGradient(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            return grad * 1.0001

    def wrong(**inputs):
        if what == 'gradient':
            return right(**inputs | dict(u=WrongGradient.apply(inputs['u'])))
        return right(**inputs) * (1.0001 if what == 'value' else torch.nan)

    monkeypatch.setattr(cases, 'cross_selective_scan', wrong)
    errors = cases.cross('cpu', 1, 2, 20, 5, 4)
    failed = {name for name, (error, allowed) in errors.items() if not error <= allowed}
    assert failed >= {'value': {'out'}, 'gradient': {'du'}, 'unwritten': {'out'}}[what]
    assert what != 'gradient' or 'out' not in failed


def test_relative_error(cases):
    assert cases.relative_error(torch.tensor([1., 2.5]), torch.tensor([1., 2.])) == 0.25
    assert cases.relative_error(torch.tensor([torch.nan, 1.]), torch.tensor([1., 1.])) == float('inf')
    assert cases.relative_error(torch.empty(0), torch.empty(0)) == 0


def test_every_shape_of_the_specification_is_checked(cases):
    names = list(cases.all_cases('cpu'))
    for length in (1, 2, 7, 63, 64, 65, 127, 1029):
        for n in (1, 2, 3, 4, 8, 16):
            assert any(name.startswith(f'cross L={length} n={n} ') for name in names)
    for part in ('selective G=1', 'selective G=4', 'selective G=8', 'no tokens', 'huge steps', 'gradcheck', 'opcheck',
                 'bitwise equal', 'bfloat16', 'float16'):
        assert any(part in name for name in names), part
    assert {'no wait for the device', 'graph replay', '50000 tokens n=16'} <= set(cases.all_cases('cuda'))
