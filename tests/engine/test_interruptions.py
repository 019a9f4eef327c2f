"""Whole runs that are killed, stopped and resumed end as if nothing had happened, bit for bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.toy import assert_same_weights

pytestmark = pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs os.fork')
ROOT = Path(__file__).parents[2]


def drive(*arguments: object) -> list[list[str]]:
    """Run the driver in a process of its own; returns the words of the lines that it printed."""
    done = subprocess.run([sys.executable, '-W', 'ignore', '-m', 'tests.engine.driver', *map(str, arguments)], cwd=ROOT,
                          env={**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}, timeout=300,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return [line.split() for line in done.stdout.splitlines() if line]


def test_killed_at_20_random_moments(tmp_path):
    kills, trainings = (int(word.split('=')[1]) for word in drive('kill', tmp_path, 20, 0)[-1])
    assert kills == 20
    assert trainings >= 2
    for training in range(trainings):
        name = 'epoch_3.pth' if training % 2 == 0 else 'iter_18.pth'
        folder = tmp_path / str(training)
        if training % 2 == 0:
            assert_same_weights(folder, tmp_path / 'reference')
        else:
            (folder / name).rename(folder / 'epoch_3.pth')
            (folder / 'best_toy_error_iter_18.pth').rename(folder / 'best_toy_error_epoch_3.pth')
            assert_same_weights(folder, tmp_path / 'reference')
        left = sorted(path.name for path in folder.iterdir() if path.is_file() and path.suffix != '.py')
        assert left == ['best_toy_error_epoch_3.pth', 'epoch_3.pth', 'last_checkpoint']
        assert Path((folder / 'last_checkpoint').read_text()).name == name


def test_stopped_by_a_signal_to_the_process_group(tmp_path):
    names = ('plain', 'workers', 'validation')
    lines = {words[0]: words[1:] for words in drive('preempt', tmp_path) if words[0] in names}
    assert lines == dict(plain=['75', 'epoch_0_iter_3.pth', '0'], workers=['75', 'epoch_0_iter_3.pth', '0'],
                         validation=['75', 'epoch_1.pth', '0'])
    for name in lines:
        assert_same_weights(tmp_path / name, tmp_path / 'reference')
        assert [path.name for path in (tmp_path / name).glob('epoch*.pth')] == ['epoch_3.pth']


def test_two_processes_stop_resume_and_skip_together(tmp_path):
    lines = [words for words in drive('gloo', tmp_path) if words[0] in ('plain', 'preempt', 'nan', 'val')]
    assert lines == [['plain', '0', '0', 'epoch_3.pth'], ['preempt', '75', '75', 'epoch_0_iter_2.pth'],
                     ['preempt', '0', '0', 'epoch_3.pth'], ['nan', '0', '0', 'epoch_3.pth'],
                     ['val', '99', '99', 'epoch_1_iter_3.pth'], ['val', '0', '0', 'epoch_3.pth']]
    assert_same_weights(tmp_path / 'preempt', tmp_path / 'plain')
    assert_same_weights(tmp_path / 'val', tmp_path / 'plain')
    events = [json.loads(line) for line in (tmp_path / 'nan' / 'invalid_loss.jsonl').read_text().splitlines()]
    for what, clip in (('loss', 'clip_5'), ('gradient', 'clip_7')):
        found = [event for event in events if event['what'] == what]
        assert [event['epoch'] for event in found] == [1, 2, 3]
        for event in found:
            # Which process had the gradient is lost in their mean; the names of all are there.
            with_clip = [rank for rank in range(2) if clip in event['clips'][rank]]
            assert len(with_clip) == 1
            assert [rank for rank in range(2) if event['loss'][rank] == 'nan'] == (with_clip if what == 'loss' else [])
