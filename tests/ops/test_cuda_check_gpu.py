"""check_gpu.py: what it says without a GPU, and that its checks find a wrong kernel; the checks run on the CPU here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

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
    """Two checks on the CPU: their rows in the JSON file and the exit code."""
    result = run('--device', 'cpu', '--only', 'L=63 n=3', '--json', str(tmp_path / 'report.json'))
    assert result.returncode == 0, result.stdout + result.stderr
    report = json.loads((tmp_path / 'report.json').read_text())
    (row,) = report['checks']
    assert row['check'] == 'cross L=63 n=3 R=0'
    assert row['passed']
    assert 0 < row['error'] < row['allowed']
    assert 'times' not in report
    assert '1 of 1 checks passed' in result.stdout


def test_no_check_at_all_is_a_failure():
    assert run('--device', 'cpu', '--only', 'no such check').returncode == 1


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
    assert {'no wait for the device', '50000 tokens n=16'} <= set(cases.all_cases('cuda'))
