import multiprocessing
import os
import time

import numpy as np
import pytest

from mmavs.datasets.transforms import log_mel, log_mel_cache
from mmavs.datasets.transforms.log_mel_cache import LogMelCache


def example(value: float = 1.5, num_examples: int = 5) -> np.ndarray:
    return np.full((num_examples, 1, 96, 64), value, dtype=np.float32)


@pytest.fixture
def cache(tmp_path) -> LogMelCache:
    return LogMelCache(tmp_path / 'cache')


def test_what_is_stored_is_loaded(cache):
    path = cache.path(b'sound', 5, 'silence')
    assert cache.load(path, 5) is None
    cache.store(path, example())
    assert np.array_equal(cache.load(path, 5), example())
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_the_key_is_content_length_and_padding(cache):
    keys = {cache.path(content, count, pad) for content in (b'a', b'b') for count in (5, 10)
            for pad in ('silence', 'repeat')}
    assert len({path.name for path in keys}) == 8


@pytest.mark.parametrize(('name', 'value'), [
    ('FRONT_END_VERSION', 99), ('SAMPLE_RATE', 8000), ('WINDOW', 512), ('HOP', 200), ('FFT_LENGTH', 1024),
    ('MEL_BANDS', 80), ('MEL_LOW_HZ', 60.0), ('MEL_HIGH_HZ', 7000.0), ('LOG_OFFSET', 1e-3), ('EXAMPLE_FRAMES', 98)])
def test_every_setting_of_the_front_end_changes_the_key(cache, monkeypatch, name, value):
    before = cache.path(b'a', 5, 'silence')
    assert cache.path(b'a', 5, 'silence') == before
    monkeypatch.setattr(log_mel, name, value)
    assert cache.path(b'a', 5, 'silence') != before


def test_another_resampler_changes_the_key(cache, monkeypatch):
    before = cache.path(b'a', 5, 'silence')
    monkeypatch.setattr(log_mel.soxr, '__version__', '99.0')
    assert cache.path(b'a', 5, 'silence') != before


def header(text: str) -> bytes:
    """A .npy file of the right size with this text in its header."""
    padded = text.encode().ljust(117) + b'\n'
    return b'\x93NUMPY\x01\x00' + len(padded).to_bytes(2, 'little') + padded + bytes(5 * 96 * 64 * 4)


DAMAGED_FILES = {
    'unclosed bracket': header("{'descr': '<f4', 'fortran_order': False, 'shape': (5, 1, 96, 64"),
    'no Python': header("{'descr': ?\\ '"),
    'terabytes': header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 1, 96, 64), }"),
    'deep nesting': header('(' * 110),
    'a type that is none': header("{'descr': '<q99', 'fortran_order': False, 'shape': (5, 1, 96, 64), }"),
    'zip archive': b'PK\x03\x04' + bytes(5 * 96 * 64 * 4 + 124),
    'pickle': b'\x80\x04' + bytes(5 * 96 * 64 * 4 + 126),
    'rubbish of another size': b'\x93NUMPY' + bytes(10**6),
}


@pytest.mark.parametrize('kind', DAMAGED_FILES)
def test_whatever_a_file_holds_it_counts_as_absent(cache, kind):
    path = cache.path(b'sound', 5, 'silence')
    path.parent.mkdir(parents=True)
    path.write_bytes(DAMAGED_FILES[kind])
    assert cache.load(path, 5) is None
    cache.store(path, example())
    assert np.array_equal(cache.load(path, 5), example())


def test_flipped_bytes_in_the_header_never_raise(cache):
    path = cache.path(b'sound', 5, 'silence')
    cache.store(path, example())
    content, rng = np.frombuffer(path.read_bytes(), dtype=np.uint8), np.random.default_rng(0)
    for _ in range(300):
        broken = content.copy()
        broken[rng.integers(128, size=2)] ^= rng.integers(1, 256, size=2, dtype=np.uint8)
        path.write_bytes(broken.tobytes())
        found = cache.load(path, 5)
        assert found is None or found.shape == (5, 1, 96, 64)


@pytest.mark.parametrize(('mask', 'mode'), [(0o022, 0o644), (0o007, 0o660)])
def test_files_may_be_read_by_whom_the_umask_lets(cache, mask, mode):
    path = cache.path(b'sound', 5, 'silence')
    before = os.umask(mask)
    try:
        cache.store(path, example())
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == mode


def test_what_killed_writers_left_is_removed_when_it_is_old(cache):
    path = cache.path(b'sound', 5, 'silence')
    cache.store(path, example())
    old, young = path.with_name('.writing-old.npy'), path.with_name('.writing-young.npy')
    for file in (old, young, path):
        file.touch()
        if file != young:
            os.utime(file, (time.time() - 3700, ) * 2)
    LogMelCache(cache.folder)
    assert sorted(file.name for file in path.parent.iterdir()) == sorted([young.name, path.name])


def write_rubbish(path, kind: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == 'text':
        path.write_text('hello')
    elif kind == 'empty':
        path.touch()
    elif kind == 'shape':
        np.save(path, example(num_examples=4))
    elif kind == 'dtype':
        np.save(path, example().astype(np.float64))
    elif kind == 'nan':
        np.save(path, example(float('nan')))
    elif kind == 'pickle':
        np.save(path, np.array([{}]), allow_pickle=True)
    elif kind == 'cut':
        np.save(path, example())
        path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize('kind', ['text', 'empty', 'shape', 'dtype', 'nan', 'pickle', 'cut'])
def test_a_damaged_file_counts_as_absent_and_is_replaced(cache, kind):
    path = cache.path(b'sound', 5, 'silence')
    write_rubbish(path, kind)
    assert cache.load(path, 5) is None
    cache.store(path, example())
    assert np.array_equal(cache.load(path, 5), example())


def test_a_folder_that_cannot_be_written_warns_once_and_work_goes_on(tmp_path, monkeypatch):
    messages = []
    monkeypatch.setattr(log_mel_cache, 'print_log', lambda message, **_: messages.append(message))
    (tmp_path / 'file').touch()
    cache = LogMelCache(tmp_path / 'file')
    for content in (b'a', b'b'):
        cache.store(cache.path(content, 5, 'silence'), example())
    assert len(messages) == 1
    assert 'Log-mels are not cached' in messages[0]
    assert 'file cannot be written' in messages[0]


def test_a_full_disk_leaves_no_half_file(cache, monkeypatch):

    def full(*_: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(np, 'save', full)
    monkeypatch.setattr(log_mel_cache, 'print_log', lambda *_, **__: None)
    path = cache.path(b'sound', 5, 'silence')
    cache.store(path, example())
    assert list(path.parent.iterdir()) == []


def _write_for_ever(folder: str) -> None:
    cache = LogMelCache(folder)
    path = cache.path(b'sound', 5, 'silence')
    while True:
        cache.store(path, example())


@pytest.mark.skipif('fork' not in multiprocessing.get_all_start_methods(), reason='needs fork')
@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_readers_find_whole_files_while_writers_work_and_are_killed(cache):
    path = cache.path(b'sound', 5, 'silence')
    cache.store(path, example())
    context = multiprocessing.get_context('fork')
    writers = [context.Process(target=_write_for_ever, args=(str(cache.folder), )) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(100):
            assert np.array_equal(cache.load(path, 5), example())
            time.sleep(0.001)
    finally:
        for writer in writers:
            os.kill(writer.pid, 9)
            writer.join()
    assert np.array_equal(cache.load(path, 5), example())
