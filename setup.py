"""Packaging, and the build of the optional native scan ops.

``MMAVS_WITH_OPS=auto`` (default) builds the ops where torch and a C++ compiler are found and installs without them
otherwise, saying so; ``1`` turns a failure into an error; ``0`` does not build. ``FORCE_CUDA=1`` adds the CUDA kernels,
and a failure is an error then too: it needs nvcc (``CUDA_HOME`` or the path), never a GPU; ``TORCH_CUDA_ARCH_LIST``
names the architectures, such as '8.0;9.0+PTX'. Use ``pip install -e . --no-build-isolation``, so that the ops are
compiled for the torch installed.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
CSRC = Path('mmavs/ops/csrc')
ISA_FLAGS = {'kernels_avx2': ['-mavx2', '-mfma'],
             'kernels_avx512': ['-mavx512f', '-mavx512dq', '-mavx2', '-mfma']}
DEFAULT_CUDA_ARCHS = '8.0;9.0+PTX'
USUAL_NVCC = '/usr/local/cuda/bin/nvcc'
MIM_CONTENT = ('configs', 'tools', 'demo', 'model-index.yml')


def read_version() -> str:
    """Version in mmavs/version.py, without importing the package."""
    text = (ROOT / 'mmavs/version.py').read_text(encoding='utf-8')
    return re.search(r"__version__ = '([^']+)'", text).group(1)


def read_requirements(name: str) -> list[str]:
    """Lines of requirements/<name>.txt without comments."""
    lines = (line.split('#')[0].strip() for line in (ROOT / f'requirements/{name}.txt').read_text('utf-8').splitlines())
    return [line for line in lines if line]


def add_mim_files() -> None:
    """Put configs and tools into mmavs/.mim: links for an editable install, copies for a wheel."""
    editable = {'develop', 'editable_wheel'} & set(sys.argv)
    if not editable and not {'bdist_wheel', 'install'} & set(sys.argv):
        return
    target = ROOT / 'mmavs/.mim'
    target.mkdir(exist_ok=True)
    for name in MIM_CONTENT:
        source, place = ROOT / name, target / name
        if place.is_symlink() or place.is_file():
            place.unlink()
        elif place.is_dir():
            shutil.rmtree(place)
        if not source.exists():
            continue
        if editable:
            place.symlink_to(os.path.relpath(source, target))
        elif source.is_dir():
            shutil.copytree(source, place, ignore=shutil.ignore_patterns('__pycache__'))
        else:
            shutil.copy2(source, place)


def wanted_ops() -> str:
    """Value of MMAVS_WITH_OPS: 'auto', '0' or '1'."""
    wish = os.environ.get('MMAVS_WITH_OPS') or 'auto'
    if wish not in ('auto', '0', '1'):
        sys.exit(f"MMAVS_WITH_OPS must be 'auto', '0' or '1', but is {wish!r}")
    # Who asks for the CUDA kernels does not want an installation without any.
    return '1' if wish == 'auto' and os.environ.get('FORCE_CUDA') == '1' else wish


def cpp_compiler() -> str | None:
    """Path of the C++ compiler: CXX, else c++, g++ or clang++."""
    names = [os.environ['CXX']] if os.environ.get('CXX') else ['c++', 'g++', 'clang++']
    return next(filter(None, map(shutil.which, names)), None)


def nvcc_compiler() -> str:
    """Path of nvcc: from CUDA_HOME, else from the path, else where the toolkit is usually installed."""
    homes = [os.environ.get('CUDA_HOME'), os.environ.get('CUDA_PATH')]
    found = [shutil.which('nvcc', path=f'{home}/bin') for home in homes if home]
    nvcc = next(filter(None, [*found, shutil.which('nvcc'), shutil.which(USUAL_NVCC)]), None)
    if nvcc is None:
        raise RuntimeError('FORCE_CUDA=1 needs nvcc: set CUDA_HOME to the CUDA toolkit')
    return str(Path(nvcc).resolve())


def cuda_arch_flags(archs: str) -> list[str]:
    """Flags of nvcc for a list such as '8.0;9.0+PTX'."""
    flags = []
    for arch in archs.replace(',', ';').replace(' ', ';').split(';'):
        if not arch:
            continue
        match = re.fullmatch(r'(\d+)\.(\d[af]?)(\+PTX)?', arch)
        if match is None:
            raise RuntimeError(f"TORCH_CUDA_ARCH_LIST must look like '8.0;9.0+PTX', but has {arch!r}")
        number = match[1] + match[2]
        flags.append(f'-gencode=arch=compute_{number},code=sm_{number}')
        if match[3]:
            flags.append(f'-gencode=arch=compute_{number},code=compute_{number}')
    return flags


class BuildOps(build_ext):
    """Compiles every source with flags of its own, which setuptools cannot, and all of them at once."""

    def run(self) -> None:
        if self.extensions and wanted_ops() == '1':
            super().run()
            return
        try:
            super().run()
        except Exception as error:
            # Whatever went wrong, the package works without the ops.
            self.extensions = []
            print(f'mmavs: the native scan ops could not be built ({error}); installing without them: scans run on '
                  'the slower PyTorch path', file=sys.stderr)

    def build_extension(self, ext: Extension) -> None:
        commands, objects = [], []
        folder = Path(self.build_temp)
        folder.mkdir(parents=True, exist_ok=True)
        for source in ext.sources:
            objects.append(str(folder / (source.replace('/', '-') + '.o')))
            compile_command = self._nvcc_command() if source.endswith('.cu') else self._cpp_command(source)
            commands.append([*compile_command, '-c', source, '-o', objects[-1]])
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            list(pool.map(self._call, commands))
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        self._call([cpp_compiler(), '-shared', *objects, '-o', str(target), '-fopenmp', *self._link_flags()])

    def copy_extensions_to_source(self) -> None:
        # A copy over the old file would change it under the processes that have it loaded.
        for ext in self.extensions:
            built = Path(self.build_lib) / self.get_ext_filename(ext.name)
            place = ROOT / self.get_ext_filename(ext.name)
            handle, temporary = tempfile.mkstemp(dir=place.parent, prefix='.build-')
            os.close(handle)
            shutil.copyfile(built, temporary)
            os.chmod(temporary, 0o755)
            os.replace(temporary, place)

    def _call(self, command: list[str]) -> None:
        print(' '.join(command), flush=True)
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if result.returncode:
            raise RuntimeError(f'{command[0]} failed: {(result.stderr or result.stdout).strip()[-4000:]}')

    def _torch_flags(self) -> list[str]:
        import torch
        from torch.utils.cpp_extension import include_paths
        return [*(f'-isystem{path}' for path in include_paths()),
                f'-D_GLIBCXX_USE_CXX11_ABI={int(torch._C._GLIBCXX_USE_CXX11_ABI)}']

    def _cpp_command(self, source: str) -> list[str]:
        torch_flags = [] if '/common/' in source else self._torch_flags()
        return [cpp_compiler(), '-std=c++17', '-O3', '-fPIC', '-fopenmp', '-fvisibility=hidden', '-w',
                *ISA_FLAGS.get(Path(source).stem, []), *torch_flags]

    def _nvcc_command(self) -> list[str]:
        return [nvcc_compiler(), '-std=c++17', '-O3', '-Xcompiler', '-fPIC,-fvisibility=hidden', '-w',
                '--expt-relaxed-constexpr',
                *cuda_arch_flags(os.environ.get('TORCH_CUDA_ARCH_LIST') or DEFAULT_CUDA_ARCHS),
                *(flag for path in cuda_includes() for flag in ('-I', path)),
                *(flag.replace('-isystem', '-I') for flag in self._torch_flags())]

    def _link_flags(self) -> list[str]:
        import torch
        folder = Path(torch.__file__).parent / 'lib'
        flags = [f'-L{folder}', '-lc10', '-ltorch_cpu', '-ltorch']
        if os.environ.get('FORCE_CUDA') == '1':
            # What is not found here is in the process already: torch loads the CUDA runtime that it was built for.
            homes = (Path(nvcc_compiler()).parent.parent, Path('/usr/local/cuda'))
            places = [home / name for home in homes for name in ('lib64', 'lib', 'targets/x86_64-linux/lib')]
            found = next((place for place in places if (place / 'libcudart.so').exists()), None)
            flags += [f'-L{found}', '-lcudart'] if found else []
            flags += [f'-l{name}' for name in ('c10_cuda', 'torch_cuda') if (folder / f'lib{name}.so').exists()]
        return flags


def cuda_includes() -> list[str]:
    """Folders of headers for the CUDA sources; the stubs stand in for what torch's CPU wheel leaves out."""
    stubs = ROOT / CSRC / 'pytorch/cuda/stubs'
    import torch
    return [str(stubs)] if stubs.exists() and torch.version.cuda is None else []


def ops_extensions() -> list[Extension]:
    """The extension, or nothing where it is not wanted or cannot be built."""
    wish = wanted_ops()
    if wish == '0':
        return []
    problem = None
    try:
        import torch  # noqa: F401
    except ImportError:
        problem = 'torch is not installed in the build environment; use --no-build-isolation'
    if problem is None and cpp_compiler() is None:
        problem = 'no C++ compiler was found'
    if problem is None and sys.platform not in ('linux', 'darwin'):
        problem = f'they are not supported on {sys.platform}'
    if problem is not None:
        if wish == '1':
            sys.exit(f'mmavs: the native scan ops cannot be built: {problem}')
        print(f'mmavs: installing without the native scan ops: {problem}', file=sys.stderr)
        return []
    patterns = ['pytorch/*.cpp', 'pytorch/cpu/*.cpp', 'common/cpu/*.cpp']
    if os.environ.get('FORCE_CUDA') == '1':
        patterns.append('pytorch/cuda/*.cu')
    sources = sorted(str(path.relative_to(ROOT)) for pattern in patterns for path in (ROOT / CSRC).glob(pattern))
    if platform.machine().lower() not in ('x86_64', 'amd64'):
        sources = [source for source in sources if Path(source).stem not in ISA_FLAGS]
    return [Extension('mmavs.ops._ext', sources)]


if __name__ == '__main__':
    add_mim_files()
    extras = {name: read_requirements(name) for name in ('mamba', 'optional', 'tests', 'video')}
    extras['mm'] = read_requirements('mminstall')
    setup(
        version=read_version(),
        packages=find_packages(include=['mmavs', 'mmavs.*']),
        package_data={'mmavs': ['.mim/**/*', '.mim/*']},
        include_package_data=True,
        python_requires='>=3.10',
        install_requires=read_requirements('runtime'),
        extras_require=extras,
        ext_modules=ops_extensions(),
        cmdclass={'build_ext': BuildOps},
        zip_safe=False,
    )
