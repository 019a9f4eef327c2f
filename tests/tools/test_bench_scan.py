import json
import subprocess
import sys

import pytest
import torch

from mmavs.ops import scan_index
from mmavs.ops.ext_loader import load_extension
from tests.test_package import BLOCK
from tests.tools.loading import ROOT, load_tool


@pytest.fixture(scope='module')
def bench():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / 'tools/analysis_tools'))  # as where the script is started
        yield load_tool('analysis_tools/bench_scan.py')


@pytest.fixture
def small(bench, monkeypatch):
    monkeypatch.setitem(bench.SHAPES, 'frame 224', (2, 1, 8, 4))
    monkeypatch.setattr(bench, 'LINEAR_SIDES', ((1, 4), (2, 4)))
    return ['--shapes', 'frame 224', '--channels', '8', '--rank', '2', '--seconds', '0.01']


def test_peers_agree_with_float64(bench):
    peers = sys.modules['bench_scan_peers']
    usable, skipped = peers.peers('cpu')
    assert {'torch', 'plain loop', 'associative scan'} <= set(usable)
    assert {'cuda', 'mamba_ssm'} <= set(skipped)
    for rank in (0, 3):
        for name, scan in usable.items():
            out, gradients = bench.errors(scan, 2, 8, 4, rank, 'cpu')
            assert 0 < out < 2e-6, name
            assert 0 < gradients < 2e-5, name


def test_peers_have_the_right_gradients(bench):
    peers = sys.modules['bench_scan_peers']
    index = scan_index(('THW', 'TWH'), ((3, 4),))
    gradients = []
    for scan in (peers.own('torch'), peers.plain_loop, peers.associative_scan):
        inputs = {name: x.double().requires_grad_() for name, x in bench.make_inputs(1, index, 4, 3, 2).items()}
        gradients.append(torch.autograd.grad(scan(inputs, index).square().sum(), list(inputs.values())))
    for other in gradients[1:]:
        assert all(torch.allclose(x, y, rtol=1e-9) for x, y in zip(gradients[0], other, strict=True))


def test_floor_by_hand(bench):
    index = torch.zeros(2, 10, dtype=torch.int32)  # 10 tokens, 2 orders; batch 3, 4 channels, n 5, R 6
    visits, rows = 3 * 20, 3 * 20 * (6 + 10)

    def floors(**rates):
        return bench.floors({**dict(exponential=0, multiply_add=0, byte=0), **rates}, 3, index, 4, 5, 6)

    assert floors(exponential=1) == (visits * 4 * 7, visits * 4 * 12)
    assert floors(multiply_add=1) == (visits * 24, visits * 72)
    assert floors(byte=1) == (4 * (rows + 240), 4 * (2 * rows + 360))


def test_best_time_is_the_smallest(bench, monkeypatch):
    runs, clock = iter([0, 5, 5, 8, 9, 11]), iter([0, 50, 60, 101])
    monkeypatch.setitem(bench.CLOCK, 'now', lambda: next(runs))
    monkeypatch.setattr(bench.time, 'perf_counter', lambda: next(clock))
    # Warming up 5 s, then runs of 3 s and 2 s until the time is up.
    assert bench.best_time(lambda: None, 100.0) == 2


def test_memory_of_a_run_is_seen(bench):
    extra = bench.extra_memory(lambda: torch.ones(64 << 18))
    if extra is None:
        pytest.skip('this system does not tell the peak of memory')
    assert 60 < extra < 80


def test_report(bench, small, tmp_path, capsys):
    path = tmp_path / 'scan.json'
    assert bench.main([*small, '--states', '2', '--skip', 'plain loop', '--json', str(path)]) == 0
    report, printed = json.loads(path.read_text()), capsys.readouterr().out
    assert set(report['machine']) == {'exponential', 'multiply_add', 'byte'}
    assert all(value > 0 for value in report['machine'].values())
    names = [row['peer'] for row in report['rows']]
    assert {'torch', 'associative scan'} <= set(names)
    assert 'plain loop' not in names
    assert any('plain loop skipped: --skip' in note for note in report['notes'])
    assert any('mamba_ssm skipped: ' in note for note in report['notes'])
    for row in report['rows']:
        assert row['tokens'] == 84
        assert row['error'] < 2e-6
        assert row['gradient_error'] < 2e-5
        assert row['forward'] > 0
        assert row['peer'] in printed
    if load_extension() is None:
        assert names[0] == 'cpp'
        assert [row['tokens'] for row in report['linear']] == [16, 32]
        assert 'above the fastest' in printed


class TooSteep(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad * 1.001


@pytest.mark.parametrize(('wrong', 'message'), [
    (lambda right, inputs, index: torch.zeros_like(inputs['u']), 'error 1.0e+00, of gradients inf'),
    (lambda right, inputs, index: right({**inputs, 'A': TooSteep.apply(inputs['A'])}, index), 'gradients 1.0e-03'),
    (lambda right, inputs, index: right(inputs, index) * float('nan'), 'error inf, of gradients inf')])
def test_a_wrong_peer_is_named_and_not_timed(bench, small, monkeypatch, capsys, wrong, message):
    right = sys.modules['bench_scan_peers'].own('torch')
    monkeypatch.setattr(bench, 'peers', lambda device: ({'cpp': lambda *x: wrong(right, *x)}, {}))
    assert bench.main([*small, '--states', '2', '--no-linear']) == 1
    printed = capsys.readouterr().out
    assert 'cpp is WRONG and was not timed: error ' in printed
    assert message in printed


@pytest.mark.parametrize('script', ['bench_scan.py', 'check_gpu.py', 'check_gpu_times.py'])
def test_torch_is_all_that_is_needed(script):
    others = {'mmengine', 'mmcv', 'mmseg', 'cv2', 'scipy', 'matplotlib', 'soundfile', 'soxr', 'PIL'}
    code = BLOCK.format(blocked=others) + f'''
import runpy
sys.path.insert(0, 'tools/analysis_tools')
runpy.run_path('tools/analysis_tools/{script}', run_name='imported')
import check_gpu_cases
print('fine')
'''
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == 'fine', done.stderr


def test_peers_that_need_too_much_are_skipped(bench, small, capsys):
    threads = torch.get_num_threads()
    try:
        bench.main([*small, '--states', '2', '--no-linear', '--memory', '0', '--patience', '1000', '--cpu-time'])
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
    assert 'associative scan, training: skipped, would need about 0 GiB' in capsys.readouterr().out
