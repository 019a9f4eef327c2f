import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

from mmavs.utils import provenance
from mmavs.utils.provenance import collect_provenance, git_state, module_version, scan_backend


def git(folder: Path, *arguments: str) -> str:
    identity = ['-c', 'user.name=a', '-c', 'user.email=a@b.c']
    return subprocess.run(['git', '-C', str(folder), *identity, *arguments], check=True, capture_output=True,
                          text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / 'package').mkdir()
    (tmp_path / 'package' / 'a.py').write_text('x = 1\n')
    git(tmp_path, 'init', '-q')
    git(tmp_path, 'add', '.')
    git(tmp_path, 'commit', '-q', '-m', 'first')
    return tmp_path


def test_record(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['tools/train.py', 'a config.py', '--resume'])
    record = collect_provenance()
    assert record['python'] == platform.python_version()
    assert record['torch'] == torch.__version__
    assert record['numpy'] == np.__version__
    assert record['cpu_threads'] == torch.get_num_threads()
    assert record['command'] == f"{sys.executable} tools/train.py 'a config.py' --resume"
    assert set(record) == {'python', 'platform', 'mmavs', 'torch', 'mmengine', 'mmcv', 'mmseg', 'numpy', 'soxr',
                           'soundfile', 'PIL', 'cv2', 'git', 'scan_backend', 'cpu_threads', 'command'}
    for module, distribution in (('soxr', 'soxr'), ('soundfile', 'soundfile'), ('PIL', 'pillow')):
        assert record[module] == version(distribution)
    assert record['cv2'][0].isdigit()
    assert {type(value) for value in record.values()} == {str, int}


def test_clean_and_modified_checkout(checkout):
    commit = git(checkout, 'rev-parse', 'HEAD')
    assert git_state(checkout / 'package') == commit
    (checkout / 'package' / 'new.py').write_text('')
    assert git_state(checkout / 'package') == commit
    (checkout / 'package' / 'a.py').write_text('x = 2\n')
    assert git_state(checkout / 'package') == f'{commit} (modified)'


def test_checkout_without_a_commit(tmp_path):
    (tmp_path / 'a.py').write_text('')
    git(tmp_path, 'init', '-q')
    git(tmp_path, 'add', '.')
    assert git_state(tmp_path) == 'no git checkout'


def test_package_installed_inside_another_project_is_not_taken_for_it(checkout):
    installed = checkout / '.venv' / 'site-packages' / 'mmavs'
    installed.mkdir(parents=True)
    (installed / '__init__.py').write_text('')
    assert git_state(installed) == 'no git checkout'


def test_without_git(checkout, monkeypatch):
    monkeypatch.setenv('PATH', '')
    assert git_state(checkout / 'package') == 'no git checkout'


def test_module_versions(monkeypatch):
    assert module_version('torch') == torch.__version__
    assert module_version('no_such_module_at_all') == 'not installed'
    assert module_version('this') == 'unknown'


def test_backend_is_what_the_ops_say(monkeypatch):
    monkeypatch.setenv('MMAVS_SCAN_BACKEND', 'torch')
    assert scan_backend() == 'torch'
    assert scan_backend('cuda') == 'torch'
    monkeypatch.setattr(provenance, 'resolve_backend', lambda *arguments: '/'.join(arguments))
    assert scan_backend() == 'auto/cpu'
    assert collect_provenance('cuda')['scan_backend'] == 'auto/cuda'


def test_unusable_backend_is_reported_and_no_error(monkeypatch):
    def unusable(*arguments: str) -> str:
        raise RuntimeError("scan backend 'cuda' is not usable")
    monkeypatch.setattr(provenance, 'resolve_backend', unusable)
    assert scan_backend() == "scan backend 'cuda' is not usable"
