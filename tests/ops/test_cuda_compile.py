"""The CUDA sources compile for sm_80 and sm_90, and the kernels that matter most keep all values in registers."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / 'mmavs' / 'ops' / 'csrc' / 'common' / 'cuda'
BINDINGS = ROOT / 'mmavs' / 'ops' / 'csrc' / 'pytorch' / 'cuda'
ARCHITECTURES = (80, 90)
HOT_STATES = (1, 16)
HOT_TYPES = ('float', 'BFloat16')
NAMES = ('scan_forward_kernel', 'scan_adjoint_kernel', 'scan_backward_kernel')
# Blocks of 128 threads that a multiprocessor must hold by registers: 65536 / (128 * registers).
MOST_REGISTERS = {'scan_forward_kernel': 128, 'scan_adjoint_kernel': 128, 'scan_backward_kernel': 168}


def find_nvcc():
    """Path of nvcc, or None."""
    home = os.environ.get('CUDA_HOME', '/usr/local/cuda')
    return shutil.which('nvcc') or shutil.which('nvcc', path=f'{home}/bin')


pytestmark = pytest.mark.skipif(find_nvcc() is None, reason='nvcc is not installed')


def hot_source():
    """A source file that instantiates the kernels of the hot variants."""
    lines = ['#include "launch.cuh"', 'namespace mmavs { namespace cuda {']
    for scalar in HOT_TYPES:
        for states in HOT_STATES:
            signature = '(const ScanParams<float>);'
            lines += [f'template __global__ void scan_forward_kernel<{scalar}, {states}, {output}>{signature}'
                      for output in ('true', 'false')]
            lines += [f'template __global__ void {name}<{scalar}, {states}>{signature}' for name in NAMES[1:]]
    return '\n'.join([*lines, '} }'])


def parse_resources(log):
    """Mangled kernel name -> (registers, bytes spilled) from the assembler's report."""
    found, name, spilled = {}, None, 0
    for line in log.splitlines():
        if match := re.search(r"entry function '(\w+)'", line):
            name = match[1]
        elif match := re.search(r'(\d+) bytes spill stores, (\d+) bytes spill loads', line):
            spilled = int(match[1]) + int(match[2])
        elif match := re.search(r'Used (\d+) registers', line):
            found[name] = int(match[1]), spilled
    return found


@pytest.fixture(scope='module')
def resources(tmp_path_factory):
    """Architecture -> resources of the hot kernels; the architectures compile side by side."""
    folder = tmp_path_factory.mktemp('nvcc')
    source = folder / 'hot.cu'
    source.write_text(hot_source())
    jobs = {arch: subprocess.Popen(
        [find_nvcc(), '-std=c++17', f'-I{KERNELS}', f'-gencode=arch=compute_{arch},code=sm_{arch}', '-Xptxas', '-v',
         '-c', str(source), '-o', str(folder / f'{arch}.o')],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for arch in ARCHITECTURES}
    logs = {arch: job.communicate()[0] for arch, job in jobs.items()}
    assert {arch: job.returncode for arch, job in jobs.items()} == dict.fromkeys(ARCHITECTURES, 0), logs
    return {arch: parse_resources(log) for arch, log in logs.items()}


def test_parse_resources():
    log = ("ptxas info    : Compiling entry function '_Z1f' for 'sm_90'\n"
           '    8 bytes stack frame, 4 bytes spill stores, 8 bytes spill loads\n'
           'ptxas info    : Used 77 registers, used 1 barriers\n')
    assert parse_resources(log) == {'_Z1f': (77, 12)}


@pytest.mark.parametrize('arch', ARCHITECTURES)
def test_hot_kernels_do_not_spill(resources, arch, record_property, capsys):
    found = {name: used for name, used in resources[arch].items() if any(kernel in name for kernel in NAMES)}
    assert len(found) == len(HOT_TYPES) * len(HOT_STATES) * 4
    with capsys.disabled():
        print()
        for name, (registers, spilled) in found.items():
            label = f'sm_{arch} {name}'
            print(f'{label}: {registers} registers, {spilled} bytes spilled')
            record_property(label, f'{registers} registers, {spilled} bytes spilled')
    assert {name: spilled for name, (_, spilled) in found.items() if spilled} == {}
    for name, (registers, _) in found.items():
        kernel = next(kernel for kernel in NAMES if kernel in name)
        assert registers <= MOST_REGISTERS[kernel], name


def test_every_token_type_is_instantiated():
    """The binding calls four types; a type without its source file would be missing when the library loads."""
    called = set(re.findall(r'return run\((?:cuda::)?(\w+)\(\)\)', (BINDINGS / 'scan.cu').read_text()))
    instances = {match[1] for path in BINDINGS.glob('scan_*.cu')
                 for match in re.finditer(r'template cudaError_t run_forward<(\w+)>', path.read_text())}
    assert called == instances == {'float', 'double', 'BFloat16', 'Half'}


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['half', 'double'])
def test_every_number_of_states_compiles(kind, tmp_path):
    """The whole file of a token type as the build compiles it: 1, 2, 4, 8 and 16 states and the carries."""
    result = subprocess.run(
        [find_nvcc(), '-std=c++17', '-O3', '-w', '--expt-relaxed-constexpr', '-gencode=arch=compute_90,code=sm_90',
         '-Xptxas', '-v', '-c', str(BINDINGS / f'scan_{kind}.cu'), '-o', str(tmp_path / 'scan.o')],
        capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    used = parse_resources(result.stderr)
    kernels = {(name, int(states)) for kernel in used
               for name, states in re.findall(r'(scan_\w+?_kernel)I[\w]*?Li(\d+)E', kernel)}
    assert kernels >= {(name, states) for name in NAMES for states in (1, 2, 4, 8, 16)}
    if kind == 'half':   # doubles take two registers each
        assert {kernel: spilled for kernel, (_, spilled) in used.items() if spilled} == {}


@pytest.mark.slow
def test_binding_compiles_with_the_headers_of_this_torch(tmp_path):
    """Front end only: torch's CPU wheel has the headers of c10/cuda but one, which the stubs supply."""
    from torch.utils.cpp_extension import include_paths
    folders = [*include_paths(), *([str(BINDINGS / 'stubs')] if torch.version.cuda is None else [])]
    result = subprocess.run(
        [find_nvcc(), '-std=c++17', '-w', '--expt-relaxed-constexpr', '-gencode=arch=compute_90,code=sm_90',
         *(f'-I{folder}' for folder in folders), '-cuda', str(BINDINGS / 'scan.cu'), '-o', str(tmp_path / 'scan.ii')],
        capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    text = (tmp_path / 'scan.ii').read_text(errors='replace')
    assert all(f'"{op}_{way}"' in text for op in ('cross_scan', 'selective_scan') for way in ('fwd', 'bwd'))
