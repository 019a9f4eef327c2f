import multiprocessing
import os
import time

import numpy as np
import pytest

from mmavs.datasets.transforms import log_mel_cache
from mmavs.datasets.transforms.log_mel_cache import LogMelCache


def log_mel(value: float = 1.5, num_examples: int = 5) -> np.ndarray:
    return np.full((num_examples, 1, 96, 64), value, dtype=np.float32)


@pytest.fixture
def cache(tmp_path) -> LogMelCache:
    return LogMelCache(tmp_path / 'cache')


def test_what_is_stored_is_loaded(cache):
    path = cache.path(b'sound', 5, 'silence')
    assert cache.load(path, 5) is None
    cache.store(path, log_mel())
    assert np.array_equal(cache.load(path, 5), log_mel())
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_the_key_is_content_length_padding_and_version(cache, monkeypatch):
    keys = {cache.path(content, count, pad) for content in (b'a', b'b') for count in (5, 10)
            for pad in ('silence', 'repeat')}
    monkeypatch.setattr(log_mel_cache, 'FRONT_END_VERSION', 99)
    keys.add(cache.path(b'a', 5, 'silence'))
    assert len(keys) == 9
    assert len({path.name for path in keys}) == 9


def write_rubbish(path, kind: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == 'text':
        path.write_text('hello')
    elif kind == 'empty':
        path.touch()
    elif kind == 'shape':
        np.save(path, log_mel(num_examples=4))
    elif kind == 'dtype':
        np.save(path, log_mel().astype(np.float64))
    elif kind == 'nan':
        np.save(path, log_mel(float('nan')))
    elif kind == 'pickle':
        np.save(path, np.array([{}]), allow_pickle=True)
    elif kind == 'cut':
        np.save(path, log_mel())
        path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize('kind', ['text', 'empty', 'shape', 'dtype', 'nan', 'pickle', 'cut'])
def test_a_damaged_file_counts_as_absent_and_is_replaced(cache, kind):
    path = cache.path(b'sound', 5, 'silence')
    write_rubbish(path, kind)
    assert cache.load(path, 5) is None
    cache.store(path, log_mel())
    assert np.array_equal(cache.load(path, 5), log_mel())


def test_a_folder_that_cannot_be_written_warns_once_and_work_goes_on(tmp_path, monkeypatch):
    messages = []
    monkeypatch.setattr(log_mel_cache, 'print_log', lambda message, **_: messages.append(message))
    (tmp_path / 'file').touch()
    cache = LogMelCache(tmp_path / 'file')
    for content in (b'a', b'b'):
        cache.store(cache.path(content, 5, 'silence'), log_mel())
    assert len(messages) == 1
    assert 'Log-mels are not cached' in messages[0]
    assert 'file cannot be written' in messages[0]


def test_a_full_disk_leaves_no_half_file(cache, monkeypatch):

    def full(*_: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(np, 'save', full)
    monkeypatch.setattr(log_mel_cache, 'print_log', lambda *_, **__: None)
    path = cache.path(b'sound', 5, 'silence')
    cache.store(path, log_mel())
    assert list(path.parent.iterdir()) == []


def _write_for_ever(folder: str) -> None:
    cache = LogMelCache(folder)
    path = cache.path(b'sound', 5, 'silence')
    while True:
        cache.store(path, log_mel())


@pytest.mark.skipif('fork' not in multiprocessing.get_all_start_methods(), reason='needs fork')
@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_readers_find_whole_files_while_writers_work_and_are_killed(cache):
    path = cache.path(b'sound', 5, 'silence')
    cache.store(path, log_mel())
    context = multiprocessing.get_context('fork')
    writers = [context.Process(target=_write_for_ever, args=(str(cache.folder), )) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(100):
            assert np.array_equal(cache.load(path, 5), log_mel())
            time.sleep(0.001)
    finally:
        for writer in writers:
            os.kill(writer.pid, 9)
            writer.join()
    assert np.array_equal(cache.load(path, 5), log_mel())
