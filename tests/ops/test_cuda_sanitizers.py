"""The compiler's sanitizers find no race between the threads of the CUDA kernels and no access outside an array."""

import subprocess

import pytest

from .cuda_emulation.scan import HERE, KERNELS, find_compiler


@pytest.mark.slow
@pytest.mark.skipif(find_compiler() is None, reason='no C++ compiler')
@pytest.mark.parametrize(('kind', 'level'), [('thread', '-O1'), ('address,undefined', '-O0')])
def test_sanitizers_of_the_compiler_find_nothing(kind, level, tmp_path):
    """Threads of the operating system, on arrays of exact sizes: no race, no access outside an array."""
    program = tmp_path / 'sanitized_scan'
    built = subprocess.run(
        [find_compiler(), '-std=c++17', level, '-g1', f'-fsanitize={kind}', '-fno-sanitize-recover=all',
         '-DEMULATION_THREADS', '-DMMAVS_CUDA_EMULATION', f'-I{HERE}', f'-I{KERNELS}', *map(str, HERE.glob('*.cpp')),
         '-o', str(program), '-lpthread'], capture_output=True, text=True)
    if 'cannot find' in built.stderr:
        pytest.skip(f'the compiler has no -fsanitize={kind}')
    assert built.returncode == 0, built.stderr
    result = subprocess.run([str(program)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[:4000]
