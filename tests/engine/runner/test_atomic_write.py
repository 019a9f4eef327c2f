import errno
import os
import resource
import signal
from pathlib import Path

import pytest
from mmengine.fileio import get_file_backend, put_text

from mmavs.engine.runner.atomic_write import ATOMIC_BACKEND, AtomicLocalBackend, atomic_write, remove_unfinished_files

NEW = b'n' * 5000


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_writes_and_replaces(tmp_path):
    target = tmp_path / 'new folder' / 'a.pth'
    atomic_write(target, b'old')
    atomic_write(target, NEW)
    assert target.read_bytes() == NEW
    assert names(target.parent) == ['a.pth']


def test_flushes_the_file_before_and_the_folder_after_the_rename(tmp_path, monkeypatch):
    steps = []
    fsync, replace = os.fsync, os.replace

    def reported_fsync(number: int) -> None:
        steps.append(os.readlink(f'/proc/self/fd/{number}'))
        fsync(number)
    monkeypatch.setattr(os, 'fsync', reported_fsync)
    monkeypatch.setattr(os, 'replace', lambda *paths: (steps.append('replace'), replace(*paths)))
    atomic_write(tmp_path / 'a.pth', NEW)
    assert steps == [f'{tmp_path}/.a.pth.{os.getpid()}.writing', 'replace', str(tmp_path)]


@pytest.mark.parametrize('step', ['fsync', 'replace'])
def test_error_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    (tmp_path / 'a.pth').write_bytes(b'old')

    def full(*args):
        raise OSError(errno.ENOSPC, 'No space left on device')
    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match='No space left'):
        atomic_write(tmp_path / 'a.pth', NEW)
    assert (tmp_path / 'a.pth').read_bytes() == b'old'
    assert names(tmp_path) == ['a.pth']


def test_disk_that_takes_only_a_part(tmp_path):
    (tmp_path / 'a.pth').write_bytes(b'old')
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match='File too large'):
            atomic_write(tmp_path / 'a.pth', NEW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / 'a.pth').read_bytes() == b'old'
    assert names(tmp_path) == ['a.pth']


@pytest.mark.parametrize(('step', 'call', 'expected'), [
    ('fsync', 1, b'old'), ('replace', 1, b'old'), ('fsync', 2, NEW)])
def test_kill_at_each_step(tmp_path, step, call, expected):
    """The kill comes right before the named system call."""
    target = tmp_path / 'a.pth'
    target.write_bytes(b'old')
    child = os.fork()
    if child == 0:
        function, calls = getattr(os, step), []

        def killing(*args):
            calls.append(args)
            if len(calls) == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args)
        setattr(os, step, killing)
        atomic_write(target, NEW)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert target.read_bytes() == expected
    left = remove_unfinished_files(tmp_path)
    assert [path.name for path in left] == ([] if expected == NEW else [f'.a.pth.{child}.writing'])
    assert names(tmp_path) == ['a.pth']


def test_backend_of_mmengine(tmp_path):
    backend = get_file_backend(str(tmp_path), backend_args=dict(backend=ATOMIC_BACKEND))
    assert isinstance(backend, AtomicLocalBackend)
    backend.put(NEW, tmp_path / 'a')
    put_text('ä', tmp_path / 'b', backend_args=dict(backend=ATOMIC_BACKEND))
    assert (tmp_path / 'a').read_bytes() == NEW
    assert (tmp_path / 'b').read_text(encoding='utf-8') == 'ä'
    assert names(tmp_path) == ['a', 'b']
