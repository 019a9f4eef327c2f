"""Clips that are left out are counted: in the log of a training, in the table and in the file of a test."""

import json
from pathlib import Path

from mmavs.datasets import AVSBenchDataset
from tests.datasets.damage import cut

from .micro import generate_data, random_checkpoint, run_tool, write_config

SKIP = "{split}_dataloader.dataset.on_error=skip"


def clip(root: Path, split: str, index: int) -> dict:
    return AVSBenchDataset(subset='ms3', split=split, data_root=str(root)).get_data_info(index)


def test_training_counts_each_clip_once_and_lists_it(tmp_path):
    """One clip without a picture, seen at the start, and one with half a picture, which a worker meets each epoch."""
    root = generate_data(tmp_path / 'data', train=6, val=1)
    gone, damaged = clip(root, 'train', 1), clip(root, 'train', 4)
    Path(gone['img_path'][0]).unlink()
    cut(0.5)(Path(damaged['img_path'][2]))
    done = run_tool('train.py', write_config(tmp_path), '--work-dir', tmp_path / 'work', '--cfg-options',
                    SKIP.format(split='train'), 'train_dataloader.num_workers=2', data_root=root)
    assert done.returncode == 0, done.stderr[-3000:]
    listed = [json.loads(line) for line in (tmp_path / 'work' / 'skipped_clips.jsonl').read_text().splitlines()]
    names = [gone['video_id'], damaged['video_id']]
    assert [entry['video_id'] for entry in listed] == names
    assert damaged['img_path'][2] in listed[1]['reason']
    log = next((tmp_path / 'work').glob('*/*.log')).read_text()
    for epoch in (1, 2):
        assert (f'train, epoch {epoch}: 2 clips are left out so far ({names[0]}, {names[1]}), listed with the reasons '
                f'in {tmp_path}/work/skipped_clips.jsonl.') in log
    assert (log + done.stdout + done.stderr).count(f"Clip '{names[1]}' is left out") <= 2, 'once, in log and terminal'


def test_a_new_training_begins_a_new_list(tmp_path):
    root = generate_data(tmp_path / 'data', train=3, val=1)
    (tmp_path / 'work').mkdir()
    (tmp_path / 'work' / 'skipped_clips.jsonl').write_text('{"video_id": "old", "split": "train", "reason": "x"}\n')
    done = run_tool('train.py', write_config(tmp_path), '--work-dir', tmp_path / 'work', data_root=root)
    assert done.returncode == 0, done.stderr[-3000:]
    assert not (tmp_path / 'work' / 'skipped_clips.jsonl').exists()
    assert 'left out' not in done.stdout


def test_test_says_what_its_scores_are_without(tmp_path):
    root = generate_data(tmp_path / 'data', test=3)
    broken, config = clip(root, 'test', 1), write_config(tmp_path)
    cut(0.5)(Path(broken['img_path'][2]))
    done = run_tool('test.py', config, random_checkpoint(config, tmp_path / 'weights.pth'), '--out',
                    tmp_path / 'out.json', '--work-dir', tmp_path / 'work', '--cfg-options', SKIP.format(split='test'),
                    data_root=root)
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads((tmp_path / 'out.json').read_text())
    assert len(report['clips']) == 2
    (skipped,) = report['skipped']
    assert skipped['video_id'] == broken['video_id']
    assert broken['img_path'][2] in skipped['reason']
    assert '1 of 3 clips could not be loaded and are in no score:\n' in done.stdout
    assert f'  {broken["video_id"]}: {skipped["reason"]}\n' in done.stdout
