from multiprocessing import get_context
from pathlib import Path

import pytest

from mmavs.utils.skipped_clips import RECORD_VARIABLE, read_skips, record_skip


@pytest.fixture
def record(tmp_path, monkeypatch):
    monkeypatch.setenv(RECORD_VARIABLE, str(tmp_path / 'skipped.jsonl'))
    return tmp_path / 'skipped.jsonl'


def test_a_clip_is_news_once(record):
    assert record_skip('a', 'train', 'broken')
    assert record_skip('a', 'val', 'broken too')
    assert not record_skip('a', 'train', 'broken again')
    assert record_skip('b', 'train', 'gone')
    assert read_skips(record, 'train') == dict(a='broken', b='gone')
    assert read_skips(record, 'val') == dict(a='broken too')
    assert len(record.read_text().splitlines()) == 3


def test_without_a_file_all_is_news(monkeypatch, tmp_path):
    monkeypatch.delenv(RECORD_VARIABLE, raising=False)
    assert record_skip('a', 'train', 'broken')
    assert record_skip('a', 'train', 'broken')
    assert read_skips(tmp_path / 'none', 'train') == {}


def test_a_line_that_was_cut_off_does_not_matter(record):
    record.write_text('{"video_id": "a", "split": "train", "reason": "x"}\n{"video_id": "b", "spl')
    assert read_skips(record, 'train') == dict(a='x')


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='needs /dev/full')
def test_a_full_disk_is_no_error(monkeypatch):
    monkeypatch.setenv(RECORD_VARIABLE, '/dev/full')
    assert record_skip('a', 'train', 'broken')


def write_many(worker: int) -> None:
    for number in range(50):
        record_skip(f'{worker}_{number}', 'train', 'x' * 200)


def test_lines_of_several_processes_do_not_mix(record):
    workers = [get_context('spawn').Process(target=write_many, args=(worker, )) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(read_skips(record, 'train')) == 150
