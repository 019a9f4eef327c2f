import logging
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from mmavs.ops import dispatch, ext_loader, mamba_backend, resolve_backend, selective_scan
from mmavs.ops.flops import scan_flops
from tests.ops.scan_cases import (
    HIDE_EXTENSION,
    in_subprocess_environment,
    make_cross,
    native_or_skip,
    permutations,
    run_cross,
)


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    monkeypatch.delenv('MMAVS_SCAN_BACKEND', raising=False)
    dispatch._resolve.cache_clear()
    yield
    dispatch._resolve.cache_clear()


def run_python(code, **environment):
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=300,
                          env=in_subprocess_environment(**environment), check=False)


def test_cpu_prefers_the_native_kernels():
    native_or_skip()
    assert resolve_backend('auto', 'cpu') == 'cpp'


def test_order_of_the_backends_on_a_gpu(monkeypatch):
    usable = {'cuda', 'mamba_ssm', 'torch'}
    monkeypatch.setattr(dispatch, 'unusable_reason', lambda name, device: None if name in usable else 'broken')
    for expected in ('cuda', 'mamba_ssm', 'torch'):
        dispatch._resolve.cache_clear()
        assert resolve_backend('auto', 'cuda') == expected
        usable.discard(expected)


def test_environment_and_argument(monkeypatch):
    monkeypatch.setenv('MMAVS_SCAN_BACKEND', 'torch')
    assert resolve_backend('auto', 'cpu') == 'torch'
    native_or_skip()
    assert resolve_backend('cpp', 'cpu') == 'cpp'


def test_an_empty_variable_is_none(monkeypatch):
    """As job scripts and container images leave it."""
    monkeypatch.setenv('MMAVS_SCAN_BACKEND', '')
    assert resolve_backend('auto', 'meta') == 'torch'


@pytest.mark.parametrize(('backend', 'asked'), [('auto', ['cuda']), ('torch', ['torch'])])
def test_no_other_package_is_imported_than_needed(monkeypatch, backend, asked):
    calls = []
    monkeypatch.setattr(dispatch, 'unusable_reason', lambda name, device: calls.append(name))
    resolve_backend(backend, 'cuda')
    assert calls == asked


def test_unknown_names(monkeypatch):
    with pytest.raises(ValueError, match=r"^backend must be 'auto' or one of .*, but got 'triton'$"):
        resolve_backend('triton', 'cpu')
    monkeypatch.setenv('MMAVS_SCAN_BACKEND', 'best')
    with pytest.raises(ValueError, match=r"^MMAVS_SCAN_BACKEND must be .*, but got 'best'$"):
        resolve_backend('auto', 'cpu')


def test_unusable_choices_say_what_to_do(monkeypatch):
    with pytest.raises(RuntimeError, match=r"'cuda' \(chosen by backend\) is not usable: it computes cuda tensors "
                                           r"only.*usable here: 'auto' or one of \["):
        resolve_backend('cuda', 'cpu')
    monkeypatch.setattr(dispatch, 'has_kernel', lambda device: False)
    monkeypatch.setattr(dispatch, 'load_extension', lambda: None)
    with pytest.raises(RuntimeError, match=r'built without CUDA; build them .*`FORCE_CUDA=1'):
        resolve_backend('cuda', 'cuda')
    monkeypatch.setattr(dispatch, 'load_extension', lambda: 'the native scan ops are not built; run this')
    monkeypatch.setenv('MMAVS_SCAN_BACKEND', 'cpp')
    with pytest.raises(RuntimeError, match=r"'cpp' \(chosen by MMAVS_SCAN_BACKEND\) is not usable: .* not built; run"):
        resolve_backend('auto', 'cpu')


@pytest.mark.parametrize(('module', 'reason'), [
    (None, 'cannot be imported'), (SimpleNamespace(selective_scan_cuda=None), 'without its compiled scan'),
    (SimpleNamespace(selective_scan_cuda=1), None)])
def test_mamba_ssm_needs_its_compiled_scan(monkeypatch, module, reason):
    name = 'mamba_ssm.ops.selective_scan_interface'
    monkeypatch.setitem(sys.modules, 'mamba_ssm', SimpleNamespace())
    monkeypatch.setitem(sys.modules, 'mamba_ssm.ops', SimpleNamespace(selective_scan_interface=module))
    monkeypatch.setitem(sys.modules, name, module)
    if module is None:
        monkeypatch.setitem(sys.modules, 'mamba_ssm.ops', None)
    found = mamba_backend.mamba_unusable_reason()
    assert (found is None) if reason is None else (reason in found)


def test_a_broken_mamba_ssm_stops_nothing(monkeypatch):
    class Broken:
        def __getattr__(self, name):
            raise RuntimeError('0 active drivers')

    monkeypatch.setitem(sys.modules, 'mamba_ssm', SimpleNamespace())
    monkeypatch.setitem(sys.modules, 'mamba_ssm.ops', Broken())
    assert 'cannot be imported (RuntimeError: 0 active drivers)' in mamba_backend.mamba_unusable_reason()


def test_choice_is_logged_once(caplog):
    with caplog.at_level(logging.INFO, logger='mmavs.ops'):
        for _ in range(3):
            resolve_backend('torch', 'cpu')
    assert [record.getMessage() for record in caplog.records] == ["Scans of cpu tensors run on backend 'torch'"]


def test_choice_is_logged_where_a_compiled_function_makes_it(caplog):
    x = torch.ones(1, 2, 3)
    scan = torch.compile(lambda x: selective_scan(x, x, -x[0, :, :1], x[:, :1], x[:, :1], backend='torch'),
                         fullgraph=True, backend='eager')
    with caplog.at_level(logging.INFO, logger='mmavs.ops'):
        scan(x)
    assert [record.getMessage() for record in caplog.records] == ["Scans of cpu tensors run on backend 'torch'"]


@pytest.mark.parametrize(('device', 'level'), [('cpu', logging.INFO), ('cuda', logging.WARNING)])
def test_slow_path_says_why(monkeypatch, caplog, device, level):
    monkeypatch.setattr(dispatch, 'unusable_reason', lambda name, kind: None if name == 'torch' else 'it is not built')
    with caplog.at_level(logging.INFO, logger='mmavs.ops'):
        assert resolve_backend('auto', device) == 'torch'
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (level, f'Scans of {device} tensors run on the slow PyTorch path: it is not built')]


def test_broken_extension_is_reported(monkeypatch, tmp_path):
    (tmp_path / '_ext.so').write_bytes(b'no library')
    monkeypatch.setattr(ext_loader, '__file__', str(tmp_path / 'ext_loader.py'))
    reason = ext_loader.load_extension.__wrapped__()
    assert reason.startswith('the native scan ops in _ext.so do not load with torch')
    assert 'build them again' in reason
    (tmp_path / '_ext.so').unlink()
    assert 'are not built; install a C++ compiler' in ext_loader.load_extension.__wrapped__()


def test_package_works_without_the_extension():
    code = HIDE_EXTENSION + '''
import torch
from mmavs.ops import cross_selective_scan, resolve_backend, scan_index, selective_scan
assert resolve_backend('auto', 'cpu') == 'torch'
index = scan_index(('THW',), ((2, 2),))
x = torch.randn(1, 4, 3, requires_grad=True)
B = torch.randn(1, 2, 4, 2)
y = cross_selective_scan(x, torch.randn(1, 2, 4, 3), -torch.ones(6, 2), B, B, index=index)
y.sum().backward()
assert x.grad.isfinite().all()
assert not hasattr(torch.ops.mmavs, 'cross_scan_fwd')
print('fine')
'''
    result = run_python(code)
    assert result.stdout.strip() == 'fine', result.stderr


def test_native_ops_are_known_before_the_first_scan():
    """An exported program may name them, and a counter of operations learns its formulas when it is made."""
    native_or_skip()
    code = '''
import torch
from torch.utils.flop_counter import FlopCounterMode
import mmavs.ops
x = torch.ones(1, 2, 3)
with FlopCounterMode(display=False) as counter:
    mmavs.ops.selective_scan(x, x, -torch.ones(2, 1), x[:, :1], x[:, :1], backend='cpp')
print(counter.get_total_flops())
'''
    result = run_python(code)
    assert result.stdout.strip() == str(scan_flops(3, 2, 1)), result.stderr


def test_ops_need_torch_only():
    code = '''
import sys
for name in ('mmengine', 'mmcv', 'mmseg', 'numpy.typing', 'cv2', 'soundfile', 'soxr', 'scipy'):
    sys.modules[name] = None
import importlib.util
spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name.startswith('mm') and name[:5] != 'mmavs' else spec(name, *a)
import mmavs.ops
assert 'torch._dynamo' not in sys.modules
print('fine')
'''
    result = run_python(code)
    assert result.stdout.strip() == 'fine', result.stderr


def test_the_generic_kernels_are_the_last_choice(monkeypatch):
    native_or_skip()
    if torch.backends.cpu.get_cpu_capability() not in ('AVX2', 'AVX512'):
        pytest.skip('this machine has the generic kernels only')
    x, results = torch.linspace(-30, 0, 4096), []
    for isa in (None, 'avx2', 'generic'):
        monkeypatch.delenv('MMAVS_CPU_ISA', raising=False)
        if isa is not None:
            monkeypatch.setenv('MMAVS_CPU_ISA', isa)
        results.append(torch.ops.mmavs.scan_exp2(x, 1))
    # The wide kernels have fused multiply-adds and agree to the last bit, the generic ones have none.
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_unknown_instruction_set(monkeypatch):
    native_or_skip()
    monkeypatch.setenv('MMAVS_CPU_ISA', 'sse9')
    inputs = make_cross(length=3)
    with pytest.raises(RuntimeError, match=r'MMAVS_CPU_ISA must be one of .*generic on this machine, but is sse9'):
        run_cross(inputs, permutations(2, 3), 'cpp')
    assert torch.isfinite(run_cross(inputs, permutations(2, 3), 'torch')).all()
