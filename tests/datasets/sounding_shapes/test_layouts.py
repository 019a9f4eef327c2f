import csv
import json
import pickle

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmavs.datasets.sounding_shapes import KIND_CLASSES, Clip
from mmavs.datasets.sounding_shapes.layouts import write_clip, write_table
from mmavs.datasets.transforms import vggish_log_mel
from mmavs.structures import AVSS_CLASSES, avss_palette


def clip(split: str = 'train', label: str = 'v1m') -> Clip:
    """Two shapes, side by side; the second sounds in every second but the last, the first in second 2."""
    rng = np.random.default_rng(0)
    visible = np.zeros((5, 8, 10), dtype=np.uint8)
    visible[:, 2:5, 1:4] = 1
    visible[:, 3:7, 5:9] = 2
    sounding = np.array([[0, 1], [0, 1], [1, 1], [0, 1], [0, 0]], dtype=bool)
    return Clip(name='abc_1', split=split, label=label, kinds=['heart', 'ring'],
                frames=rng.integers(0, 256, (5, 8, 10, 3), dtype=np.uint8), visible=visible, sounding=sounding,
                wave=rng.uniform(-0.5, 0.5, 80000))


def files(folder) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())


def read(path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_masks_are_the_visible_parts_of_what_sounds():
    masks = clip().masks()
    assert masks.dtype == bool
    assert masks.sum(axis=(1, 2)).tolist() == [16, 16, 16 + 9, 16, 0]
    assert masks[0, 3, 5]
    assert not masks[0, 2, 1]
    classes = clip().class_masks()
    assert classes.dtype == np.uint8
    heart, ring = (AVSS_CLASSES.index(KIND_CLASSES[kind]) for kind in ('heart', 'ring'))
    assert sorted(np.unique(classes[2]).tolist()) == sorted([0, heart, ring])
    assert np.unique(classes[4]).tolist() == [0]


def test_s4_as_published(tmp_path):
    assert write_clip('s4', tmp_path, clip('train'), write_log_mel=True) == ('abc_1', 0, 'ring', 'train')
    write_clip('s4', tmp_path, clip('test'))
    expected = [f's4_data/visual_frames/{split}/ring/abc_1/abc_1_{k}.png' for split in ('train', 'test')
                for k in range(1, 6)]
    expected += [f's4_data/gt_masks/test/ring/abc_1/abc_1_{k}.png' for k in range(1, 6)]
    expected += ['s4_data/gt_masks/train/ring/abc_1/abc_1_1.png', 's4_data/audio_wav/train/ring/abc_1.wav',
                 's4_data/audio_wav/test/ring/abc_1.wav', 's4_data/audio_log_mel/train/ring/abc_1.pkl']
    assert files(tmp_path) == sorted(expected)


def test_ms3_as_published(tmp_path):
    assert write_clip('ms3', tmp_path, clip('train'), write_log_mel=True) == ('abc_1', 'train')
    expected = [f'ms3_data/visual_frames/abc_1/abc_1.mp4_{k}.png' for k in range(1, 6)]
    expected += [f'ms3_data/gt_masks/train/abc_1/abc_1_{k}.png' for k in range(1, 6)]
    expected += ['ms3_data/audio_wav/train/abc_1.wav', 'ms3_data/audio_log_mel/train/abc_1.pkl']
    assert files(tmp_path) == sorted(expected)


def test_contents_of_ms3(tmp_path):
    source = clip()
    write_clip('ms3', tmp_path, source, write_log_mel=True)
    data = tmp_path / 'ms3_data'
    assert np.array_equal(read(data / 'visual_frames/abc_1/abc_1.mp4_3.png'), source.frames[2][..., ::-1])
    mask = read(data / 'gt_masks/train/abc_1/abc_1_3.png')
    assert np.array_equal(mask, source.masks()[2] * np.uint8(255))
    samples, rate = soundfile.read(data / 'audio_wav/train/abc_1.wav')
    assert (rate, soundfile.info(data / 'audio_wav/train/abc_1.wav').subtype) == (16000, 'PCM_16')
    assert np.abs(samples - source.wave).max() < 2**-15
    log_mel = pickle.loads((data / 'audio_log_mel/train/abc_1.pkl').read_bytes())
    assert log_mel.shape == (5, 1, 96, 64)
    assert np.array_equal(log_mel[:, 0].numpy(), vggish_log_mel(source.wave, 16000))


@pytest.mark.parametrize(('split', 'label', 'labelled'), [
    ('train', 'v1s', 1), ('test', 'v1s', 5), ('train', 'v1m', 5), ('train', 'v2', 5)])
def test_avss_as_published(tmp_path, split, label, labelled):
    row = write_clip('avss', tmp_path, clip(split, label))
    assert row == ('abc', 'abc_1', 0, 0, 'baby_violin', split, label)
    base = f'{label}/abc_1/'
    expected = [f'{base}frames/{k}.jpg' for k in range(5)] + [f'{base}audio.wav']
    expected += [f'{base}{folder}/{k}.png' for folder in ('labels_rgb', 'labels_semantic') for k in range(labelled)]
    assert files(tmp_path) == sorted(expected)


def test_contents_of_avss(tmp_path):
    source = clip()
    write_clip('avss', tmp_path, source)
    base = tmp_path / 'v1m/abc_1'
    indices = read(base / 'labels_semantic/2.png')
    assert np.array_equal(indices, source.class_masks()[2])
    assert np.array_equal(read(base / 'labels_rgb/2.png'), avss_palette()[indices])
    assert read(base / 'frames/0.jpg').shape == (8, 10, 3)


@pytest.mark.parametrize(('subset', 'name', 'columns'), [
    ('s4', 's4_meta_data.csv', ['name', 'start_time', 'category', 'split']),
    ('ms3', 'ms3_meta_data.csv', ['video_id', 'split']),
    ('avss', 'metadata.csv', ['vid', 'uid', 's_min', 's_sec', 'a_obj', 'split', 'label'])])
def test_tables(tmp_path, subset, name, columns):
    rows = [tuple(f'{column}{i}' for column in columns) for i in range(3)]
    write_table(subset, tmp_path, rows)
    with open(tmp_path / name, newline='') as file:
        assert list(csv.reader(file)) == [columns, *map(list, rows)]
    assert (tmp_path / 'label2idx.json').exists() == (subset == 'avss')


def test_label2idx_has_71_entries_that_count_from_1(tmp_path):
    write_table('avss', tmp_path, [])
    numbers = json.loads((tmp_path / 'label2idx.json').read_text())
    assert sorted(numbers.values()) == list(range(1, 72))
    assert numbers['background'] == 1
    assert AVSS_CLASSES[numbers['violin'] - 1] == 'violin'
