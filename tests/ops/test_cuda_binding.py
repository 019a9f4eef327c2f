"""The CUDA binding and its kernels, run on CPU tensors by the emulation, pass the checks of check_gpu.py."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from .cuda_emulation.scan import HERE, KERNELS, find_compiler
from .scan_cases import HIDE_EXTENSION, in_subprocess_environment

ROOT = Path(__file__).parents[2]
SOURCES = KERNELS.parents[1] / 'pytorch'
LOAD = HIDE_EXTENSION + '''
import ctypes, sys, torch
import mmavs.ops.ext_loader as loader
torch.ops.load_library(sys.argv[1])
loader.register_rules('')
loader.load_extension = lambda: None
ctypes.CDLL(sys.argv[1]).emulated_device(int(sys.argv[2]), 2)
'''
CHECK = LOAD + '''
from check_gpu_cases import all_cases
# opcheck compares with the rules for CPU tensors, whose states are saved at other tokens.
for name, case in all_cases('cpu').items():
    if name != 'opcheck':
        wrong = {what: error for what, error in case().items() if not error[0] <= error[1]}
        print(name, 'FAILED' if wrong else 'passed', wrong)
'''
REFUSE = LOAD + '''
import mmavs.ops
n, rank = int(sys.argv[3]), int(sys.argv[4])
x = dict(u=torch.randn(1, 5, 3), delta=torch.randn(1, 1, 5, rank), A=-torch.rand(3, n), Bm=torch.randn(1, 1, 5, n),
         Cm=torch.randn(1, 1, 5, n), dt_weight=torch.randn(1, 3, rank))
try:
    mmavs.ops.cross_selective_scan(**x, index=torch.arange(5, dtype=torch.int32)[None], backend='cpp')
except RuntimeError as error:
    print(error)
'''
pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_compiler() is None, reason='no C++ compiler')]


@pytest.fixture(scope='module')
def library(tmp_path_factory):
    from torch.utils.cpp_extension import include_paths
    folder = tmp_path_factory.mktemp('binding')
    path = folder / 'emulated_ops.so'
    lib = Path(torch.__file__).parent / 'lib'
    binding = HERE / 'binding'
    subprocess.run(
        [find_compiler(), '-std=c++17', '-O1', '-fPIC', '-shared', '-w', '-DMMAVS_CUDA_EMULATION',
         f'-D_GLIBCXX_USE_CXX11_ABI={int(torch._C._GLIBCXX_USE_CXX11_ABI)}',
         *(f'-I{place}' for place in (binding, HERE, KERNELS, SOURCES / 'cuda')),
         *(f'-isystem{place}' for place in include_paths()), str(binding / 'binding.cpp'),
         str(HERE / 'emulated_scan.cpp'), str(HERE / 'cuda_emulation.cpp'), str(SOURCES / 'ops.cpp'), '-o', str(path),
         f'-L{lib}', '-lc10', '-ltorch_cpu', '-ltorch', '-lpthread'], check=True)
    return path


@pytest.mark.parametrize('resident', [1, 396])
def test_checks_of_the_gpu_pass(library, resident):
    """On a device of one block, where no order is cut, and on one of the size of an H200."""
    paths = f'{ROOT}:{ROOT / "tools" / "analysis_tools"}'
    result = subprocess.run([sys.executable, '-c', CHECK, str(library), str(resident)], text=True, capture_output=True,
                            env=in_subprocess_environment(PYTHONPATH=paths))
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) > 70
    assert [line for line in lines if 'FAILED' in line] == []


@pytest.mark.parametrize(('n', 'rank', 'said'), [(257, 2, 'takes 1 to 256 states, but A has 257')])
def test_what_the_kernels_cannot_do_is_refused(library, n, rank, said):
    result = subprocess.run([sys.executable, '-c', REFUSE, str(library), '8', str(n), str(rank)], text=True,
                            capture_output=True, env=in_subprocess_environment(PYTHONPATH=ROOT))
    assert said in result.stdout, result.stderr
