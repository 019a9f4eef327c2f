"""One row for each way a clip can be broken: a sentence with clip, file and cure, or a skip that is listed."""

import errno
import os
import pickle
import resource
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from mmavs.datasets import AVSBenchDataset, ClipDataError, avsbench_dataset
from mmavs.datasets.transforms import files, log_mel_cache
from mmavs.engine.samplers import SeededDataset
from tests.datasets.damage import DAMAGES, break_clip, cut, hostile, pickled, remove, saved

LOAD = [dict(type='mmavs.LoadClipFrames'), dict(type='mmavs.LoadClipMasks'), dict(type='mmavs.LogMelSpectrogram'),
        dict(type='mmavs.PackAVSInputs')]

TRANSIENT = {'a disk that fails': errno.EIO, 'a file that may not be read': errno.EACCES}


@pytest.fixture
def fresh(shapes_root, tmp_path):
    """Makes copies of a subset that a test may break; returns the root."""
    folders = dict(s4='Single-source', ms3='Multi-sources', avss='AVSBench-semantic')

    def copy(subset: str) -> Path:
        shutil.copytree(shapes_root / folders[subset], tmp_path / folders[subset])
        return tmp_path

    return copy


@pytest.fixture
def warnings(tmp_path, monkeypatch):
    """Collects what is logged, by workers too; call it to read."""
    file = tmp_path / 'warnings.txt'

    def note(message: str, logger: str, level: int) -> None:
        with open(file, 'a') as out:
            out.write(message + '\n')

    for module in (avsbench_dataset, log_mel_cache):
        monkeypatch.setattr(module, 'print_log', note)
    return lambda: file.read_text()


def build(root: Path, subset: str, **settings: Any) -> AVSBenchDataset:
    return AVSBenchDataset(**dict(dict(subset=subset, split='test', data_root=str(root), pipeline=LOAD), **settings))


def test_there_are_enough_rows():
    assert len(DAMAGES) >= 50


@pytest.mark.parametrize('damage', DAMAGES)
def test_raise_names_clip_file_and_cure_and_skip_lists_them(fresh, damage):
    subset, _, _, message = DAMAGES[damage]
    root = fresh(subset)
    name, path = break_clip(root, damage)
    dataset = build(root, subset)
    assert dataset[0]['data_samples'].video_id != name
    with pytest.raises(ClipDataError, match=message) as caught:
        dataset[1]
    text = str(caught.value)
    assert text.startswith(f'Clip {name!r} ({subset}, test) cannot be loaded: ')
    assert str(path) in text
    assert text.endswith("Restore the file, or set on_error='skip' in the dataset to leave such clips out.")
    assert '\n' not in text
    dataset = build(root, subset, on_error='skip')
    assert len(dataset) == 2
    assert name not in {dataset.get_data_info(i)['video_id'] for i in range(2)}
    (listed, reason), = dataset.skipped
    assert listed == name
    assert str(path) in reason
    assert not list(root.rglob('pwned'))


def test_the_hostile_pickles_would_work_on_a_careless_reader(tmp_path):
    for save in (pickled, saved):
        path = tmp_path / 'log_mel.pkl'
        hostile(save)(path)
        with open(path, 'rb') as file:
            os.close(pickle.load(file) if save is pickled else torch.load(path, weights_only=False))
        (tmp_path / 'pwned').unlink()


@pytest.mark.parametrize('kind', ['frame', 'mask', 'sound'])
@pytest.mark.parametrize('trouble', TRANSIENT)
def test_reading_fails(fresh, monkeypatch, kind, trouble):
    dataset = build(fresh('ms3'), 'ms3')
    info = dataset.get_data_info(1)
    bad = {'frame': info['img_path'][2], 'mask': info['seg_map_path'][2], 'sound': info['audio_path']}[kind]

    def fail(path: str, *args: Any) -> Any:
        if path == bad:
            raise OSError(TRANSIENT[trouble], os.strerror(TRANSIENT[trouble]), path)
        return open(path, *args)

    monkeypatch.setattr(files, 'open', fail, raising=False)
    with pytest.raises(ClipDataError, match=rf'{bad} cannot be read: {os.strerror(TRANSIENT[trouble])}\. Restore'):
        dataset[1]


@pytest.mark.skipif(os.geteuid() == 0, reason='root may read every file')
def test_a_file_without_read_permission(fresh):
    dataset = build(fresh('ms3'), 'ms3')
    os.chmod(dataset.get_data_info(1)['img_path'][2], 0)
    with pytest.raises(ClipDataError, match='cannot be read: Permission denied'):
        dataset[1]


@pytest.mark.parametrize('damage', ['frame cut to half', 'mask missing', 'sound with infinity', 'hostile torch file'])
def test_a_workers_error_is_the_same_sentence(fresh, damage):
    subset = DAMAGES[damage][0]
    root = fresh(subset)
    _, path = break_clip(root, damage)
    dataset = build(root, subset)
    loader = DataLoader(SeededDataset(dataset), batch_size=3, num_workers=2, collate_fn=pseudo_collate)
    with pytest.raises(ClipDataError) as caught:
        list(loader)
    with pytest.raises(ClipDataError) as expected:
        dataset[1]
    assert str(caught.value) == str(expected.value)
    assert str(path) in str(caught.value)


def test_skip_in_training_replaces_what_workers_find_damaged(fresh, warnings):
    root = fresh('ms3')
    info = build(root, 'ms3', split='train').get_data_info(2)
    cut(0.5)(Path(info['img_path'][0]))
    dataset = build(root, 'ms3', split='train', on_error='skip')
    batches = list(DataLoader(dataset, batch_size=1, num_workers=2, collate_fn=pseudo_collate))
    names = [batch['data_samples'][0].video_id for batch in batches]
    assert len(names) == 5
    assert info['video_id'] not in names
    assert f'Clip {info["video_id"]!r} is left out: {info["img_path"][0]} is damaged' in warnings()


def test_skip_in_training_gives_up_when_all_are_damaged(fresh):
    root = fresh('ms3')
    dataset = build(root, 'ms3', split='train', on_error='skip', max_refetch=7)
    for path in root.rglob('*.mp4_1.png'):
        cut(0.5)(path)
    with pytest.raises(ClipDataError, match='It is the last of 8 damaged clips in a row'):
        dataset[0]
    assert {name for name, _ in dataset.skipped} <= {dataset.get_data_info(i)['video_id'] for i in range(5)}


def test_a_test_clip_that_breaks_after_the_start(fresh):
    dataset = build(fresh('ms3'), 'ms3', on_error='skip')
    remove(Path(dataset.get_data_info(1)['audio_path']))
    remove(Path(dataset.get_data_info(1)['audio_logmel_path']))
    with pytest.raises(ClipDataError, match='It could be loaded when the run began: restore the file'):
        dataset[1]


def test_skip_reads_as_the_pipeline_does(fresh):
    root = fresh('s4')
    break_clip(root, 'mask of another size')
    lenient = [LOAD[0], dict(LOAD[1], size_mismatch='resize'), *LOAD[2:]]
    assert len(build(root, 's4', on_error='skip', pipeline=lenient)) == 3
    assert len(build(root, 's4', on_error='skip')) == 2


@pytest.mark.parametrize('way', ['no space left', 'file size limit'])
def test_a_full_disk_costs_the_cache_only(fresh, monkeypatch, warnings, way):
    root = fresh('ms3')
    expected = [build(root, 'ms3')[i]['inputs']['audio'] for i in range(3)]
    pipeline = [*LOAD[:2], dict(LOAD[2], cache_dir=str(root / 'cache')), LOAD[3]]
    dataset = build(root, 'ms3', pipeline=pipeline)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if way == 'no space left':
        def full(file: Any, array: np.ndarray) -> None:
            file.write(b'half')
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        monkeypatch.setattr(np, 'save', full)
    else:
        # A log-mel of 5 examples takes 120 KiB.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        audio = [dataset[i]['inputs']['audio'] for i in range(3)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert all(torch.equal(first, second) for first, second in zip(audio, expected, strict=True))
    assert not [path for path in (root / 'cache').rglob('*') if path.is_file()]
    assert warnings().count('Log-mels are not cached') == 1
    assert ('No space left on device' if way == 'no space left' else 'requested and') in warnings()
