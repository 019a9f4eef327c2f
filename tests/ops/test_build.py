import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from setuptools import Distribution

ROOT = Path(__file__).parents[2]


@pytest.fixture
def build(monkeypatch):
    spec = importlib.util.spec_from_file_location('mmavs_setup', ROOT / 'setup.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ('MMAVS_WITH_OPS', 'FORCE_CUDA', 'CXX', 'CUDA_HOME', 'CUDA_PATH'):
        monkeypatch.delenv(name, raising=False)
    return module


def test_version_is_read_without_import(build):
    import mmavs
    assert build.read_version() == mmavs.__version__


def test_requirements_lose_their_comments(build):
    assert 'torch>=2.4' in build.read_requirements('runtime')
    assert not any('#' in line for line in build.read_requirements('mamba'))


def test_cuda_arch_flags(build):
    assert build.cuda_arch_flags('8.0;9.0+PTX') == [
        '-gencode=arch=compute_80,code=sm_80', '-gencode=arch=compute_90,code=sm_90',
        '-gencode=arch=compute_90,code=compute_90']
    assert build.cuda_arch_flags('9.0a 10.0') == [
        '-gencode=arch=compute_90a,code=sm_90a', '-gencode=arch=compute_100,code=sm_100']
    assert build.cuda_arch_flags('9.0') == ['-gencode=arch=compute_90,code=sm_90']
    assert build.cuda_arch_flags('9.0a+PTX;10.3f') == [
        '-gencode=arch=compute_90a,code=sm_90a', '-gencode=arch=compute_90a,code=compute_90a',
        '-gencode=arch=compute_103f,code=sm_103f']
    with pytest.raises(RuntimeError, match=r"TORCH_CUDA_ARCH_LIST must look like .* but has 'Hopper'"):
        build.cuda_arch_flags('Hopper')


def test_sources_of_the_extension(build, monkeypatch):
    monkeypatch.setattr(build, 'cpp_compiler', lambda: '/usr/bin/c++')
    monkeypatch.setattr(build.platform, 'machine', lambda: 'x86_64')
    extension, = build.ops_extensions()
    assert {Path(source).name for source in extension.sources} == {
        'kernels_avx2.cpp', 'kernels_avx512.cpp', 'kernels_generic.cpp', 'ops.cpp', 'scan.cpp'}
    monkeypatch.setattr(build.platform, 'machine', lambda: 'aarch64')
    assert not any('avx' in source for source in build.ops_extensions()[0].sources)
    monkeypatch.setenv('FORCE_CUDA', '1')
    assert any(source.endswith('.cu') for source in build.ops_extensions()[0].sources)


def test_ops_can_be_left_out(build, monkeypatch):
    monkeypatch.setenv('MMAVS_WITH_OPS', '0')
    assert build.ops_extensions() == []
    monkeypatch.setenv('MMAVS_WITH_OPS', 'yes')
    with pytest.raises(SystemExit, match="MMAVS_WITH_OPS must be 'auto', '0' or '1', but is 'yes'"):
        build.ops_extensions()


@pytest.mark.parametrize(('ops', 'cuda', 'wanted'), [
    (None, None, 'auto'), ('', '', 'auto'), ('1', '0', '1'), ('0', '1', '0'), ('auto', '1', '1'), (None, '1', '1')])
def test_who_asks_for_cuda_gets_it_or_an_error(build, monkeypatch, ops, cuda, wanted):
    for name, value in (('MMAVS_WITH_OPS', ops), ('FORCE_CUDA', cuda)):
        if value is not None:
            monkeypatch.setenv(name, value)
    assert build.wanted_ops() == wanted


def test_without_a_compiler(build, monkeypatch, capsys):
    monkeypatch.setenv('PATH', '')
    assert build.ops_extensions() == []
    assert 'installing without the native scan ops: no C++ compiler was found' in capsys.readouterr().err
    monkeypatch.setenv('MMAVS_WITH_OPS', '1')
    with pytest.raises(SystemExit, match='cannot be built: no C\\+\\+ compiler'):
        build.ops_extensions()


def test_without_torch(build, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'torch', None)
    assert build.ops_extensions() == []
    assert 'torch is not installed in the build environment' in capsys.readouterr().err


@pytest.fixture
def broken_compiler(build, tmp_path, monkeypatch):
    compiler = tmp_path / 'c++'
    compiler.write_text('#!/bin/sh\necho no space left >&2\nexit 1\n')
    compiler.chmod(0o755)
    monkeypatch.setenv('CXX', str(compiler))
    monkeypatch.chdir(tmp_path)
    command = build.BuildOps(Distribution(dict(name='mmavs', ext_modules=build.ops_extensions())))
    command.build_temp, command.build_lib = str(tmp_path / 'temp'), str(tmp_path / 'lib')
    command.ensure_finalized()
    return command


def test_failed_compilation_installs_without_the_ops(broken_compiler, capsys):
    broken_compiler.run()
    assert broken_compiler.extensions == []
    message = capsys.readouterr().err
    assert 'could not be built' in message
    assert 'no space left' in message


def test_failed_compilation_is_an_error_where_ops_are_wanted(broken_compiler, monkeypatch):
    monkeypatch.setenv('MMAVS_WITH_OPS', '1')
    with pytest.raises(RuntimeError, match='no space left'):
        broken_compiler.run()


def test_cuda_without_nvcc_is_an_error(broken_compiler, build, monkeypatch, tmp_path):
    monkeypatch.setenv('FORCE_CUDA', '1')
    monkeypatch.setenv('PATH', '')
    monkeypatch.setattr(build, 'USUAL_NVCC', str(tmp_path / 'nvcc'))
    broken_compiler.distribution.ext_modules = broken_compiler.extensions = build.ops_extensions()
    with pytest.raises(RuntimeError, match='FORCE_CUDA=1 needs nvcc'):
        broken_compiler.run()


@pytest.fixture
def cuda_command(build, monkeypatch, tmp_path):
    nvcc = tmp_path / 'bin' / 'nvcc'
    nvcc.parent.mkdir()
    nvcc.touch(mode=0o755)
    monkeypatch.setenv('CUDA_HOME', str(tmp_path))
    monkeypatch.setenv('FORCE_CUDA', '1')
    return build.BuildOps(Distribution(dict(name='mmavs')))


@pytest.mark.parametrize('archs', [None, ''])
def test_architectures_without_a_list(build, cuda_command, monkeypatch, archs):
    """An empty variable, as container images leave it, is none."""
    monkeypatch.delenv('TORCH_CUDA_ARCH_LIST', raising=False)
    if archs is not None:
        monkeypatch.setenv('TORCH_CUDA_ARCH_LIST', archs)
    assert '-gencode=arch=compute_90,code=sm_90' in cuda_command._nvcc_command()


@pytest.mark.parametrize('cuda', [None, '13.0'])
def test_stub_headers_never_hide_those_of_torch(build, cuda_command, monkeypatch, cuda):
    import torch
    monkeypatch.setattr(torch.version, 'cuda', cuda)
    assert any('stubs' in flag for flag in cuda_command._nvcc_command()) == (cuda is None)


def test_cuda_libraries_are_linked(cuda_command, monkeypatch, tmp_path):
    import torch
    (tmp_path / 'lib64').mkdir()
    (tmp_path / 'lib64' / 'libcudart.so').touch()
    torch_lib = tmp_path / 'torch' / 'lib'
    torch_lib.mkdir(parents=True)
    for name in ('c10_cuda', 'torch_cuda'):
        (torch_lib / f'lib{name}.so').touch()
    monkeypatch.setattr(torch, '__file__', str(torch_lib.parent / '__init__.py'))
    flags = cuda_command._link_flags()
    assert flags[flags.index('-lcudart') - 1] == f'-L{tmp_path}/lib64'
    assert {'-lc10_cuda', '-ltorch_cuda', '-lc10', '-ltorch_cpu'} <= set(flags)
    monkeypatch.delenv('FORCE_CUDA')
    assert not any('cuda' in flag for flag in cuda_command._link_flags() if flag.startswith('-l'))


def test_nvcc_is_looked_for_in_cuda_home_first(build, cuda_command, monkeypatch, tmp_path):
    """A CUDA_HOME without nvcc, as an image with the runtime alone may have it, does not end the search."""
    assert build.nvcc_compiler() == str(tmp_path / 'bin' / 'nvcc')
    usual = tmp_path / 'usual' / 'nvcc'
    usual.parent.mkdir()
    usual.touch(mode=0o755)
    monkeypatch.setattr(build, 'USUAL_NVCC', str(usual))
    monkeypatch.setenv('CUDA_HOME', str(tmp_path / 'empty'))
    monkeypatch.setenv('PATH', '')
    assert build.nvcc_compiler() == str(usual)
    monkeypatch.setenv('PATH', str(tmp_path / 'bin'))
    assert build.nvcc_compiler() == str(tmp_path / 'bin' / 'nvcc')


def test_nvcc_must_be_there(build, monkeypatch, tmp_path):
    monkeypatch.setenv('CUDA_HOME', str(tmp_path))
    monkeypatch.setenv('PATH', '')
    monkeypatch.setattr(build, 'USUAL_NVCC', str(tmp_path / 'nvcc'))
    with pytest.raises(RuntimeError, match='FORCE_CUDA=1 needs nvcc: set CUDA_HOME'):
        build.nvcc_compiler()


def test_source_distribution_has_all_sources(tmp_path):
    """From a copy of what matters, as building one leaves files beside setup.py."""
    for name in ('setup.py', 'setup.cfg', 'pyproject.toml', 'MANIFEST.in', 'README.md', 'LICENSE'):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / 'requirements', tmp_path / 'requirements')
    shutil.copytree(ROOT / 'mmavs/ops', tmp_path / 'mmavs/ops', ignore=shutil.ignore_patterns('_ext*', '__pycache__'))
    shutil.copy(ROOT / 'mmavs/version.py', tmp_path / 'mmavs')
    (tmp_path / 'mmavs/__init__.py').touch()
    environment = {name: value for name, value in os.environ.items() if name not in ('FORCE_CUDA', 'CXX')}
    subprocess.run([sys.executable, 'setup.py', '-q', 'sdist', '--formats=tar'], cwd=tmp_path, check=True,
                   capture_output=True, env=environment)
    archive, = (tmp_path / 'dist').glob('*.tar')
    with tarfile.open(archive) as tar:
        packed = {name.split('/', 1)[-1] for name in tar.getnames()}
    wanted = {str(path.relative_to(ROOT)) for path in (ROOT / 'mmavs/ops/csrc').rglob('*') if path.is_file()}
    assert len(wanted) > 30
    assert wanted | {'setup.py', 'pyproject.toml', 'requirements/runtime.txt', 'mmavs/ops/__init__.py'} <= packed


def test_the_built_library_replaces_the_old_one_at_once(build, monkeypatch, tmp_path):
    monkeypatch.setattr(build, 'ROOT', tmp_path)
    extension = build.Extension('mmavs.ops._ext', ['a.cpp'])
    command = build.BuildOps(Distribution(dict(name='mmavs', ext_modules=[extension])))
    command.build_lib = str(tmp_path / 'lib')
    command.ensure_finalized()
    name = command.get_ext_filename('mmavs.ops._ext')
    for folder in (tmp_path, tmp_path / 'lib'):
        (folder / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text('old')
    (tmp_path / 'lib' / name).write_text('new')
    with open(tmp_path / name) as loaded:
        command.copy_extensions_to_source()
        assert loaded.read() == 'old'
    assert (tmp_path / name).read_text() == 'new'
    assert os.listdir((tmp_path / name).parent) == [Path(name).name]
