"""Tables, leaks and duplicates of a subset, and the report."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmavs.datasets.verification import PUBLISHED_CLIPS, Report, verify_subset
from mmavs.datasets.verification import subset as module


@pytest.fixture
def root(shapes_root, tmp_path):
    shutil.copytree(shapes_root / 'Multi-sources', tmp_path / 'Multi-sources')
    return tmp_path


def found(report: Report) -> list[tuple[str, str]]:
    return [(finding.level, finding.kind) for finding in report.findings]


def data(root: Path) -> Path:
    return root / 'Multi-sources/ms3_data'


@pytest.mark.parametrize('subset', ['s4', 'ms3', 'avss'])
def test_generated_data_is_sound(shapes_root, subset):
    seen = []
    report = verify_subset(str(shapes_root), subset, expect_published=False,
                           progress=lambda done, total: seen.append((done, total)))
    assert {level for level, _ in found(report)} == {'info'}
    assert seen == [(done, 10) for done in range(1, 11)]
    assert [report.splits[split]['clips'] for split in ('train', 'val', 'test')] == [5, 2, 3]
    frames = [report.splits[split]['frames'] for split in ('train', 'val', 'test')]
    assert frames == ([35, 10, 20] if subset == 'avss' else [25, 10, 15])
    labelled = report.splits['train']['labelled']
    assert labelled == dict(s4=5, ms3=25, avss=27)[subset]
    test = report.splits['test']
    assert (test['rates'], test['channels']) == ({'16000 Hz': 3}, {'1': 3})
    assert (test['sizes'], test['seconds']) == (({'85x64': 3}, [5, 10]) if subset == 'avss' else ({'64x64': 3}, [5, 5]))
    if subset == 'ms3':
        masks = [np.asarray(Image.open(path)) for path in data(shapes_root).glob('gt_masks/test/*/*.png')]
        assert (test['silent'], len(masks)) == (sum(not mask.any() for mask in masks), 15)
        assert sum(test['mask_formats'].values()) == 15
    json.dumps(report.as_dict(), allow_nan=False)


def test_published_numbers():
    clips = {subset: [splits[name] for name in ('train', 'val', 'test')] for subset, splits in PUBLISHED_CLIPS.items()}
    assert clips == dict(s4=[3452, 740, 740], ms3=[296, 64, 64], avss=[8498, 1304, 1554])
    assert sum(PUBLISHED_CLIPS['avss'].values()) == 11356


def test_other_counts_are_errors_where_published_ones_are_expected(shapes_root, monkeypatch):
    report = verify_subset(str(shapes_root), 'ms3')
    assert [finding.message for finding in report.findings if finding.level == 'error'] == [
        'train has 5 clips, published are 296.', 'val has 2 clips, published are 64.',
        'test has 3 clips, published are 64.']
    monkeypatch.setitem(module.PUBLISHED_CLIPS, 'ms3', dict(train=5, val=2, test=3))
    assert verify_subset(str(shapes_root), 'ms3').count('error') == 0


def test_categories_of_s4(shapes_root):
    message = [finding.message for finding in verify_subset(str(shapes_root), 's4').findings
               if finding.kind == 'number of categories']
    assert len(message) == 1
    assert message[0].endswith('categories, published are 23.')


def test_a_broken_table_is_the_only_finding(root):
    (root / 'Multi-sources/ms3_meta_data.csv').write_text('video_id,split\na,trial\n')
    report = verify_subset(str(root), 'ms3')
    assert found(report) == [('error', 'broken table')]
    assert "has the split 'trial'" in report.findings[0].message


@pytest.mark.parametrize('expect_published', [True, False])
def test_a_table_without_clips_is_an_error(root, expect_published):
    (root / 'Multi-sources/ms3_meta_data.csv').write_text('video_id,split\n')
    report = verify_subset(str(root), 'ms3', expect_published)
    assert ('error', 'empty table') in found(report)
    assert report.count('error') == (4 if expect_published else 1)


def test_broken_class_names(shapes_root, tmp_path):
    shutil.copytree(shapes_root / 'AVSBench-semantic', tmp_path / 'AVSBench-semantic')
    (tmp_path / 'AVSBench-semantic/label2idx.json').write_text('{}')
    assert found(verify_subset(str(tmp_path), 'avss')) == [('error', 'broken table')]


def leak(root: Path, split: str, name: str, of: str) -> None:
    """Adds a clip to a split under a name that says it is cut from the source video of another one."""
    table = root / 'Multi-sources/ms3_meta_data.csv'
    table.write_text('\n'.join([*table.read_text().splitlines(), f'{name},{split}']) + '\n')
    folders = data(root)
    shutil.copytree(folders / 'visual_frames' / of, folders / 'visual_frames' / name)
    for path in (folders / 'visual_frames' / name).iterdir():
        path.rename(str(path).replace(f'{of}.mp4', f'{name}.mp4'))
    masks = folders / 'gt_masks' / split / name
    shutil.copytree(folders / 'gt_masks' / 'train' / of, masks)
    for path in masks.iterdir():
        path.rename(masks / path.name.replace(of, name))
    shutil.copy(folders / 'audio_wav/train' / f'{of}.wav', folders / 'audio_wav' / split / f'{name}.wav')


def test_leaks_and_duplicates_between_splits(root, monkeypatch):
    leak(root, 'test', 'shapes-train-00000_7', of='shapes-train-00000_1')
    report = verify_subset(str(root), 'ms3', expect_published=False)
    warnings = [finding for finding in report.findings if finding.level == 'warning']
    assert [finding.kind for finding in warnings] == [
        'leak', 'same frames between train and test', 'same sound between train and test']
    assert "1 of 4 clips of test are cut from source videos that are in train, e.g. 'shapes-train-00000_7'" in \
        warnings[0].message
    assert "'shapes-train-00000_1' (train), 'shapes-train-00000_7' (test)" in warnings[1].message
    assert report.splits['test']['leaked'] == 1
    monkeypatch.setitem(module.PUBLISHED_LEAKS, 'ms3', dict(test=1))
    known = [finding for finding in verify_subset(str(root), 'ms3').findings if finding.kind == 'leak']
    assert [(finding.level, '(as published)' in finding.message) for finding in known] == [('info', True)]


def test_duplicates_inside_a_split(root):
    names = [f'shapes-test-0000{i}_1' for i in (0, 1)]
    shutil.copy(*(data(root) / 'audio_wav/test' / f'{name}.wav' for name in names))
    report = verify_subset(str(root), 'ms3', expect_published=False)
    assert ('warning', 'same sound twice') in found(report)


@pytest.mark.parametrize('subset', ['ms3', 's4', 'avss'])
def test_clips_that_no_table_lists(shapes_root, tmp_path, subset):
    folder, place = dict(ms3=('Multi-sources', 'ms3_data/visual_frames'), avss=('AVSBench-semantic', 'v1m'),
                         s4=('Single-source', 's4_data/visual_frames'))[subset]
    shutil.copytree(shapes_root / folder, tmp_path / folder)
    parent = tmp_path / folder / place
    if subset == 's4':
        parent = next((parent / 'test').iterdir())
    (parent / 'extra_1' / ('frames' if subset == 'avss' else '')).mkdir(parents=True)
    report = verify_subset(str(tmp_path), subset, expect_published=False)
    (finding, ) = [finding for finding in report.findings if finding.level == 'warning']
    assert finding.message.endswith(f'1 folders hold clips that the table does not list, e.g. {parent / "extra_1"}.')


def test_a_subset_without_its_frames_is_a_list_of_broken_clips(root):
    shutil.rmtree(data(root) / 'visual_frames')
    report = verify_subset(str(root), 'ms3', expect_published=False)
    assert found(report).count(('error', 'broken frame')) == 50


def test_the_doubled_folder_of_avss_holds_no_unlisted_clips(shapes_root, tmp_path):
    root = tmp_path / 'AVSBench-semantic'
    shutil.copytree(shapes_root / 'AVSBench-semantic', root)
    (root / 'v2').rename(tmp_path / 'moved')
    (root / 'v2').mkdir()
    (tmp_path / 'moved').rename(root / 'v2' / 'v2')
    assert verify_subset(str(tmp_path), 'avss', expect_published=False).count('warning') == 0
