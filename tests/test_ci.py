"""The script of continuous integration: what it installs, and whose failure counts."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / '.ci' / 'run'


@pytest.fixture
def machine(tmp_path):
    """Stand-ins for the programs that the script calls; every call is noted in ``calls``."""
    (tmp_path / 'bin').mkdir()
    (tmp_path / '.ci').mkdir()
    shutil.copy(SCRIPT, tmp_path / '.ci' / 'run')
    for name in ('bash', 'dirname', 'env'):
        (tmp_path / 'bin' / name).symlink_to(shutil.which(name))
    add_program(tmp_path, 'make')
    add_program(tmp_path, 'id', 'echo 0')
    return tmp_path


def add_program(machine, name, body='true'):
    path = machine / 'bin' / name
    note = f'echo "{name} $*" >> {machine / "calls"}\n' if name in ('make', 'apt-get') else ''
    path.write_text(f'#!{shutil.which("bash")}\n{note}{body}\n')
    path.chmod(0o755)


def run(machine):
    done = subprocess.run([str(machine / '.ci' / 'run')], env={**os.environ, 'PATH': str(machine / 'bin')},
                          capture_output=True, text=True, check=False)
    return done, (machine / 'calls').read_text().splitlines()


CHECKS = ['make lint', 'make test']


def test_root_gets_the_missing_browser(machine):
    add_program(machine, 'apt-get')
    done, calls = run(machine)
    assert done.returncode == 0, done.stderr
    assert calls == ['apt-get update -qq',
                     'apt-get install -y -qq --no-install-recommends chromium chromium-driver', *CHECKS]


def test_a_browser_that_cannot_be_had_is_no_failure(machine):
    add_program(machine, 'apt-get', 'exit 100')
    done, calls = run(machine)
    assert done.returncode == 0, done.stderr
    assert 'the browser tests will skip' in done.stdout
    assert calls[-2:] == CHECKS


@pytest.mark.parametrize('reason', ['not root', 'no apt-get', 'there already'])
def test_nothing_is_installed(machine, reason):
    if reason != 'no apt-get':
        add_program(machine, 'apt-get')
    if reason == 'not root':
        add_program(machine, 'id', 'echo 1000')
    if reason == 'there already':
        add_program(machine, 'chromium')
        add_program(machine, 'chromedriver')
    done, calls = run(machine)
    assert done.returncode == 0, done.stderr
    assert calls == CHECKS


def test_a_failed_check_fails_the_run(machine):
    add_program(machine, 'make', 'exit 2')
    done, calls = run(machine)
    assert done.returncode == 2
    assert calls == ['make lint']
