import shutil

import numpy as np
import pytest
import soundfile
import torch
from mmengine.dataset import pseudo_collate
from PIL import Image
from torch.utils.data import DataLoader

from mmavs.datasets import AVSBenchDataset, ClipDataError
from mmavs.datasets.transforms import vggish_log_mel
from mmavs.registry import DATASETS
from mmavs.structures import AVSS_CLASSES

TRAIN = [
    dict(type='mmavs.LoadClipFrames'), dict(type='mmavs.LoadClipMasks'), dict(type='mmavs.ClipRandomFlip'),
    dict(type='mmavs.ClipPhotoMetricDistortion'), dict(type='mmavs.ClipRandomResizedCrop', scale=(32, 32)),
    dict(type='mmavs.LogMelSpectrogram'), dict(type='mmavs.PackAVSInputs')]
TEST = [
    dict(type='mmavs.LoadClipFrames'), dict(type='mmavs.ClipResize', scale=(32, 32)), dict(type='mmavs.LoadClipMasks'),
    dict(type='mmavs.LogMelSpectrogram'), dict(type='mmavs.PackAVSInputs')]


@pytest.fixture
def broken_root(shapes_root, tmp_path):
    """A copy that a test may damage."""
    shutil.copytree(shapes_root / 'Multi-sources', tmp_path / 'Multi-sources')
    return tmp_path


def ms3_files(root, split: str, kind: str) -> list:
    """Frames or masks number 3 of the clips of a split, in order."""
    data = root / 'Multi-sources/ms3_data'
    if kind == 'wav':
        return sorted((data / 'audio_wav' / split).iterdir())
    folder = data / 'gt_masks' / split if kind == 'mask' else data / 'visual_frames'
    suffix = '_3.png'
    return sorted(path for path in folder.rglob(f'*{suffix}') if f'-{split}-' in path.name)


@pytest.mark.parametrize(('subset', 'split', 'count'), [
    ('s4', 'train', 5), ('s4', 'val', 2), ('ms3', 'train', 5), ('ms3', 'test', 3), ('avss', 'train', 5),
    ('avss', 'test', 3)])
@pytest.mark.parametrize('pipeline', [TRAIN, TEST])
def test_every_subset_through_both_pipelines(shapes_root, subset, split, count, pipeline):
    dataset = DATASETS.build(dict(type='mmavs.AVSBenchDataset', subset=subset, split=split, data_root=str(shapes_root),
                                  pipeline=pipeline))
    assert len(dataset) == count
    lengths = []
    for i in range(count):
        item = dataset[i]
        image, sound, sample = item['inputs']['img'], item['inputs']['audio'], item['data_samples']
        frames = len(image)
        lengths.append(frames)
        assert image.shape == (frames, 3, 32, 32)
        assert sound.shape == (frames, 1, 96, 64)
        size = (32, 32) if pipeline is TRAIN else (64, 85 if subset == 'avss' else 64)
        assert sample.gt_sem_seg.data.shape == (frames, *size)
        assert sample.ori_shape == (64, 85 if subset == 'avss' else 64)
        assert sample.img_shape == (32, 32)
        assert (sample.subset, sample.split) == (subset, split)
        labelled = [bool((mask != 255).any()) for mask in sample.gt_sem_seg.data]
        only_first = (subset, split) == ('s4', 'train') or (subset == 'avss' and split == 'train' and i in (0, 4))
        assert labelled == ([True] + [False] * 4 if only_first else [True] * frames)
    assert lengths == ([5, 5, 10, 10, 5][:count] if subset == 'avss' else [5] * count)


def test_metainfo(shapes_root):
    binary = AVSBenchDataset(subset='s4', split='val', data_root=str(shapes_root))
    assert binary.metainfo['classes'] == ('background', 'sounding')
    assert len(binary.metainfo['palette']) == 2
    semantic = AVSBenchDataset(subset='avss', split='val', data_root=str(shapes_root))
    assert semantic.metainfo['classes'] == AVSS_CLASSES
    assert semantic.metainfo['palette'][70] == (32, 128, 128)
    renamed = AVSBenchDataset(subset='avss', split='val', data_root=str(shapes_root), metainfo=dict(classes=('a', 'b')))
    assert renamed.metainfo['classes'] == ('a', 'b')


def test_metainfo_without_data():
    dataset = AVSBenchDataset(subset='avss', split='val', data_root='nowhere', lazy_init=True)
    assert dataset.metainfo['classes'] == AVSS_CLASSES


def test_index_and_palette_masks_of_avss_agree(shapes_root, tmp_path):
    shutil.copytree(shapes_root / 'AVSBench-semantic', tmp_path / 'AVSBench-semantic')
    indexed = AVSBenchDataset(subset='avss', split='test', data_root=str(tmp_path), pipeline=TEST)
    masks = [indexed[i]['data_samples'].gt_sem_seg.data for i in range(3)]
    for folder in list(tmp_path.rglob('labels_semantic')):
        shutil.rmtree(folder)
    painted = AVSBenchDataset(subset='avss', split='test', data_root=str(tmp_path), pipeline=TEST)
    assert all(torch.equal(painted[i]['data_samples'].gt_sem_seg.data, masks[i]) for i in range(3))
    assert max(int(mask.max()) for mask in masks) > 1


def test_the_doubled_folder_of_avss(shapes_root, tmp_path):
    root = tmp_path / 'AVSBench-semantic'
    shutil.copytree(shapes_root / 'AVSBench-semantic', root)
    for label in ('v1s', 'v1m', 'v2'):
        (root / label).rename(tmp_path / 'moved')
        (root / label).mkdir()
        (tmp_path / 'moved').rename(root / label / label)
    dataset = AVSBenchDataset(subset='avss', split='train', data_root=str(root), pipeline=TEST)
    assert [len(dataset[i]['inputs']['img']) for i in range(5)] == [5, 5, 10, 10, 5]


def test_the_same_audio_from_wav_and_from_the_published_pickle(shapes_root, tmp_path):
    shutil.copytree(shapes_root / 'Multi-sources', tmp_path / 'Multi-sources')
    shutil.rmtree(tmp_path / 'Multi-sources/ms3_data/audio_wav')
    fresh = AVSBenchDataset(subset='ms3', split='test', data_root=str(shapes_root), pipeline=TEST)[1]
    pickled = AVSBenchDataset(subset='ms3', split='test', data_root=str(tmp_path), pipeline=TEST)[1]
    # The wav is rounded to 16 bits, the pickle is not.
    assert (fresh['inputs']['audio'] - pickled['inputs']['audio']).abs().max() < 0.05
    assert pickled['data_samples'].audio_path is None


def test_leak_free_leaves_out_clips_whose_source_is_in_train(broken_root):
    table = broken_root / 'Multi-sources/ms3_meta_data.csv'
    rows = table.read_text().splitlines()
    train = next(row for row in rows if row.endswith('train')).split(',')[0]
    (broken_root / 'Multi-sources/ms3_meta_data.csv').write_text(
        '\n'.join([*rows, f'{train[:-1]}7,test', 'elsewhere_1,test']))
    settings = dict(subset='ms3', split='test', data_root=str(broken_root))
    everything, clean = AVSBenchDataset(**settings), AVSBenchDataset(leak_free=True, **settings)
    assert len(everything) == 5
    assert len(clean) == 4
    assert {everything.get_data_info(i)['video_id'] for i in range(5)} - {
        clean.get_data_info(i)['video_id'] for i in range(4)} == {f'{train[:-1]}7'}
    assert everything.leaked_clips() == clean.leaked_clips() == {f'{train[:-1]}7'}
    assert AVSBenchDataset(subset='ms3', split='train', data_root=str(broken_root)).leaked_clips() == set()


def test_leak_free_is_for_val_and_test(shapes_root):
    with pytest.raises(ValueError, match='leak_free'):
        AVSBenchDataset(subset='ms3', split='train', data_root=str(shapes_root), leak_free=True)


def test_categories(shapes_root):
    settings = dict(subset='avss', split='train', data_root=str(shapes_root))
    assert len(AVSBenchDataset(categories=('v1s', 'v1m'), **settings)) == 3
    with pytest.raises(ValueError, match=r"categories \['v3'\] are not in avss train; it has \['v1m', 'v1s', 'v2'\]"):
        AVSBenchDataset(categories=('v3', ), **settings)
    with pytest.raises(ValueError, match='it has none'):
        AVSBenchDataset(subset='ms3', split='val', data_root=str(shapes_root), categories=('dog', ))


def test_indices(shapes_root):
    settings = dict(subset='ms3', split='train', data_root=str(shapes_root))
    assert len(AVSBenchDataset(indices=2, **settings)) == 2
    assert AVSBenchDataset(indices=[3], **settings).get_data_info(0)['video_id'] == 'shapes-train-00003_1'


@pytest.mark.parametrize(('settings', 'message'), [
    (dict(subset='v3'), r"subset must be one of \['s4', 'ms3', 'avss'\], got 'v3'"),
    (dict(split='validation'), r"split must be one of \['train', 'val', 'test'\], got 'validation'"),
    (dict(on_error='ignore'), "on_error must be one of"), (dict(sound_of='all'), 'sound_of must be one of')])
def test_unknown_settings(shapes_root, settings, message):
    with pytest.raises(ValueError, match=message):
        AVSBenchDataset(**dict(dict(subset='s4', split='val', data_root=str(shapes_root)), **settings))


def test_an_unknown_keyword_is_refused(shapes_root):
    with pytest.raises(TypeError, match='catgories'):
        AVSBenchDataset(subset='s4', split='val', data_root=str(shapes_root), catgories=('a', ))


def test_a_missing_root(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data_root '.*none' does not exist"):
        AVSBenchDataset(subset='s4', split='val', data_root=str(tmp_path / 'none'))


def test_a_split_without_clips(broken_root):
    table = broken_root / 'Multi-sources/ms3_meta_data.csv'
    table.write_text('\n'.join(row for row in table.read_text().splitlines() if not row.endswith('val')))
    with pytest.raises(ValueError, match="has no clip of split 'val'"):
        AVSBenchDataset(subset='ms3', split='val', data_root=str(broken_root))


DAMAGES = {
    'frame missing': ('frame', lambda path: path.unlink(), 'does not exist'),
    'frame empty': ('frame', lambda path: path.write_bytes(b''), r'is empty \(0 bytes\)'),
    'frame cut': ('frame', lambda path: path.write_bytes(path.read_bytes()[:-200]), 'is damaged or no picture'),
    'frame of another size': ('frame', lambda path: Image.new('RGB', (60, 64)).save(path), 'is 60x64 pixels'),
    'mask missing': ('mask', lambda path: path.unlink(), 'does not exist'),
    'mask of another size': ('mask', lambda path: Image.new('L', (64, 60)).save(path), 'is 64x60 pixels'),
    'wav empty': ('wav', lambda path: path.write_bytes(b''), r'is empty \(0 bytes\)'),
    'wav cut': ('wav', lambda path: path.write_bytes(path.read_bytes()[:-200]), 'is cut off'),
    'wav no sound': ('wav', lambda path: path.write_bytes(b'hello'), 'is damaged or no sound'),
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_damage_is_named_with_clip_file_and_cure(broken_root, damage):
    kind, harm, message = DAMAGES[damage]
    path = ms3_files(broken_root, 'test', kind)[1]
    harm(path)
    dataset = AVSBenchDataset(subset='ms3', split='test', data_root=str(broken_root), pipeline=TEST)
    dataset[0]
    with pytest.raises(ClipDataError, match=rf"Clip 'shapes-test-00001_1' \(ms3, test\) .*{path.name} {message}.*skip"):
        dataset[1]


@pytest.mark.parametrize('damage', DAMAGES)
def test_skip_leaves_the_clip_out_of_a_test_set_and_lists_it(broken_root, damage):
    kind, harm, _ = DAMAGES[damage]
    path = ms3_files(broken_root, 'test', kind)[1]
    harm(path)
    dataset = AVSBenchDataset(subset='ms3', split='test', data_root=str(broken_root), pipeline=TEST, on_error='skip')
    assert [dataset[i]['data_samples'].video_id for i in range(len(dataset))] == [
        'shapes-test-00000_1', 'shapes-test-00002_1']
    assert [name for name, _ in dataset.skipped] == ['shapes-test-00001_1']
    assert path.name in dataset.skipped[0][1]


def test_skip_in_training_looks_from_outside_first_and_replaces_later(broken_root):
    frames = ms3_files(broken_root, 'train', 'frame')
    frames[0].unlink()
    frames[1].write_bytes(frames[1].read_bytes()[:-100])
    dataset = AVSBenchDataset(subset='ms3', split='train', data_root=str(broken_root), pipeline=TRAIN, on_error='skip')
    assert len(dataset) == 4
    np.random.seed(0)
    names = {dataset[0]['data_samples'].video_id for _ in range(20)}
    assert names <= {'shapes-train-00002_1', 'shapes-train-00003_1', 'shapes-train-00004_1'}
    assert [name for name, _ in dataset.skipped] == ['shapes-train-00000_1', 'shapes-train-00001_1']


def test_skip_when_the_sound_is_missing(broken_root):
    folder = broken_root / 'Multi-sources/ms3_data'
    for name in ('audio_wav/train/shapes-train-00000_1.wav', 'audio_log_mel/train/shapes-train-00001_1.pkl',
                 'audio_wav/train/shapes-train-00002_1.wav', 'audio_log_mel/train/shapes-train-00002_1.pkl'):
        (folder / name).unlink()
    dataset = AVSBenchDataset(subset='ms3', split='train', data_root=str(broken_root), on_error='skip')
    ((name, reason), ) = dataset.skipped
    assert (name, len(dataset)) == ('shapes-train-00002_1', 4), 'the sound or its log-mel is enough'
    assert reason.endswith('shapes-train-00002_1.pkl: not there, the clip has no sound.')


def test_skip_with_nothing_left(broken_root):
    for path in ms3_files(broken_root, 'val', 'frame'):
        path.unlink()
    with pytest.raises(ValueError, match=r'none of the 2 clips can be loaded; the first reason is: .*_3\.png'):
        AVSBenchDataset(subset='ms3', split='val', data_root=str(broken_root), on_error='skip')


def test_mistakes_in_the_pipeline_are_not_blamed_on_the_data(shapes_root):
    dataset = AVSBenchDataset(subset='ms3', split='val', data_root=str(shapes_root), pipeline=[TEST[-1]],
                              on_error='skip')
    with pytest.raises(KeyError, match='LoadClipFrames'):
        dataset[0]


def test_a_workers_error_reaches_the_user_with_the_clips_name(broken_root):
    ms3_files(broken_root, 'test', 'frame')[0].unlink()
    dataset = AVSBenchDataset(subset='ms3', split='test', data_root=str(broken_root), pipeline=TEST)
    loader = DataLoader(dataset, batch_size=2, num_workers=1, collate_fn=pseudo_collate)
    with pytest.raises(ClipDataError, match="Clip 'shapes-test-00000_1'"):
        next(iter(loader))


def test_workers_give_the_same_as_none(shapes_root):
    dataset = AVSBenchDataset(subset='ms3', split='test', data_root=str(shapes_root), pipeline=TEST)
    batches = [list(DataLoader(dataset, batch_size=3, num_workers=workers, collate_fn=pseudo_collate))
               for workers in (0, 2)]
    for key in ('img', 'audio'):
        pairs = zip(batches[0][0]['inputs'][key], batches[1][0]['inputs'][key], strict=True)
        assert all(torch.equal(first, second) for first, second in pairs)


def test_audio_of_a_ten_frame_clip(shapes_root):
    dataset = AVSBenchDataset(subset='avss', split='train', data_root=str(shapes_root), pipeline=TEST)
    samples, rate = soundfile.read(dataset.get_data_info(2)['audio_path'])
    assert (len(samples), rate) == (160000, 16000)
    expected = torch.from_numpy(vggish_log_mel(samples, rate))
    assert (dataset[2]['inputs']['audio'][:, 0] - expected).abs().max() < 1e-5
