"""The files of requirements/ agree with each other and with what the package imports."""

import ast
import re
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
MODULES = {'pillow': 'PIL', 'onedl-mmengine': 'mmengine', 'onedl-mmcv': 'mmcv', 'onedl-mmsegmentation': 'mmseg'}
# cv2 comes with mmcv; the others are used where they are there.
OPTIONAL = {'cv2', 'mamba_ssm', 'causal_conv1d', 'causal_conv1d_cuda'}


def read(name: str) -> dict[str, Requirement]:
    lines = (line.split('#')[0].strip() for line in (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines())
    found = [Requirement(line) for line in lines if line]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def locked() -> dict[str, str]:
    return {name: str(requirement.specifier).removeprefix('==')
            for file in ('lock', 'lock_mm') for name, requirement in read(file).items()}


def imported_modules() -> set[str]:
    found = set()
    for path in (ROOT / 'mmavs').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add(node.module)
    return {name.split('.')[0] for name in found} - set(sys.stdlib_module_names) - {'mmavs'}


def test_the_package_imports_what_it_requires_and_nothing_else():
    names = [*read('runtime'), *read('mminstall'), *read('video')]
    assert imported_modules() - OPTIONAL == {MODULES.get(name, name) for name in names}


@pytest.mark.parametrize('name', ['runtime', 'mminstall', 'video', 'tests', 'build'])
def test_locked_versions_are_in_the_ranges(name):
    versions = locked()
    outside = {package: versions.get(package) for package, requirement in read(name).items()
               if not requirement.specifier.contains(versions.get(package, '0'), prereleases=True)}
    assert outside == {}


def test_lock_needs_no_graphics_libraries():
    assert 'opencv-python-headless' in locked()
    assert 'opencv-python' not in locked()


@pytest.mark.parametrize('name', read('lock_mm'))
def test_what_is_installed_without_dependencies_finds_them_in_the_lock(name):
    wanted = [Requirement(text) for text in requires(name)]
    wanted = [requirement for requirement in wanted if not requirement.marker or requirement.marker.evaluate()]
    versions = locked()
    versions['opencv-python'] = versions['opencv-python-headless']
    missing = [str(requirement) for requirement in wanted
               if not requirement.specifier.contains(versions.get(canonicalize_name(requirement.name), '0'))]
    assert wanted
    assert missing == []


def test_every_lock_is_exact():
    assert all(re.fullmatch(r'\d[\w.]*', version) for version in locked().values())
