import errno
import hashlib
import os
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmavs.engine.hooks import AtomicCheckpointHook
from mmavs.engine.hooks import atomic_checkpoint_hook as module
from tests.engine.toy import SignalAt, ToyMetric, assert_same_weights, train

pytestmark = pytest.mark.usefixtures('toy_runs')


def checkpoints(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob('*.pth'))


class FullDisk(Hook):
    """The disk is full from the beginning of iteration ``first`` to that of iteration ``last``."""

    def __init__(self, monkeypatch, first: int, last: int) -> None:
        self.monkeypatch, self.first, self.last = monkeypatch, first, last

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter == self.first:
            self.monkeypatch.setattr(os, 'fsync', self.full)
        if runner.iter == self.last:
            self.monkeypatch.undo()

    @staticmethod
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, 'No space left on device')


def test_is_built_from_a_config_of_any_scope():
    hook = HOOKS.build(dict(type='mmavs.AtomicCheckpointHook', interval=2, max_keep_ckpts=1))
    assert isinstance(hook, AtomicCheckpointHook)
    assert (hook.interval, hook.max_keep_ckpts) == (2, 1)


def test_unknown_arguments_are_refused_at_build():
    with pytest.raises(TypeError, match=r"unknown arguments \['max_keep'\].*max_keep_ckpts"):
        AtomicCheckpointHook(interval=1, max_keep=3)


@pytest.mark.parametrize(('keep', 'left'), [(1, [3]), (2, [2, 3]), (-1, [1, 2, 3])])
def test_keeps_as_many_as_asked(tmp_path, keep, left):
    train(tmp_path, checkpoint=dict(max_keep_ckpts=keep, save_best=None))
    assert checkpoints(tmp_path) == [f'epoch_{number}.pth' for number in left]
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_3.pth')


def test_old_files_go_only_after_the_new_ones_are_written(tmp_path, monkeypatch):
    events = []
    replace, remove = os.replace, os.remove
    monkeypatch.setattr(os, 'replace', lambda a, b: (events.append(f'write {Path(b).name}'), replace(a, b)))
    monkeypatch.setattr(os, 'remove', lambda path: (events.append(f'remove {Path(path).name}'), remove(path)))
    # An error that falls each time: each epoch has a new best checkpoint.
    errors = iter([3.0, 2.0])
    monkeypatch.setattr(ToyMetric, 'compute_metrics', lambda self, results: dict(error=next(errors)))
    train(tmp_path, epochs=2)
    assert events == [
        'write epoch_1.pth', 'write last_checkpoint', 'write best_toy_error_epoch_1.pth', 'write epoch_1.pth',
        'write last_checkpoint', 'write epoch_2.pth', 'write last_checkpoint', 'remove epoch_1.pth',
        'write best_toy_error_epoch_2.pth', 'write epoch_2.pth', 'write last_checkpoint',
        'remove best_toy_error_epoch_1.pth'
    ]


def test_full_disk_keeps_the_previous_checkpoint_and_the_training(tmp_path, monkeypatch):
    """The second epoch's checkpoints cannot be written; the third's can."""
    train(tmp_path / 'reference')
    with monkeypatch.context() as patch:
        train(tmp_path / 'full', FullDisk(patch, 7, 13), log_level='WARNING')
    assert_same_weights(tmp_path / 'full', tmp_path / 'reference')
    assert 'epoch_3.pth' in checkpoints(tmp_path / 'full')
    assert 'epoch_2.pth' not in checkpoints(tmp_path / 'full')
    log = ''.join(path.read_text() for path in (tmp_path / 'full').glob('*/*.log'))
    assert 'No space left on device' in log
    assert f'the previous one ({tmp_path}/full/epoch_1.pth) stays and the training goes on' in log


def test_full_disk_at_the_end_is_an_error_and_resumes(tmp_path, monkeypatch):
    train(tmp_path / 'reference')
    with monkeypatch.context() as patch, pytest.raises(OSError, match='its last checkpoint could not be written'):
        train(tmp_path / 'full', FullDisk(patch, 13, 99))
    assert 'epoch_2.pth' in checkpoints(tmp_path / 'full')
    assert list((tmp_path / 'full').glob('.*')) == []
    train(tmp_path / 'full', resume=True)
    assert_same_weights(tmp_path / 'full', tmp_path / 'reference')


def test_best_that_cannot_be_written_leaves_the_former_best(tmp_path, monkeypatch):
    errors = iter([3.0, 2.0, 4.0])
    monkeypatch.setattr(ToyMetric, 'compute_metrics', lambda self, results: dict(error=next(errors)))
    with monkeypatch.context() as patch:
        runner = train(tmp_path, FullDisk(patch, 7, 13))
    assert checkpoints(tmp_path) == ['best_toy_error_epoch_1.pth', 'epoch_3.pth']
    assert runner.message_hub.get_info('best_score') == 3.0


def test_content_for_resuming(tmp_path):
    train(tmp_path, epochs=1)
    checkpoint = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)
    state = checkpoint['resume_state']
    assert (state['samples'], state['dataset_length'], state['sampler_seed'], len(state['rng'])) == (0, 12, 7, 1)
    assert state['validated_at'] == 6
    assert 'resume_state' not in torch.load(tmp_path / 'best_toy_error_epoch_1.pth', weights_only=False)


def test_checkpoint_in_mid_epoch_is_replaced_by_the_next_one(tmp_path):
    with pytest.raises(SystemExit):
        train(tmp_path, SignalAt(8), checkpoint=dict(max_keep_ckpts=-1, save_best=None))
    assert checkpoints(tmp_path) == ['epoch_1.pth', 'epoch_1_iter_9.pth']
    saved = torch.load(tmp_path / 'epoch_1_iter_9.pth', weights_only=False)
    assert (saved['meta']['epoch'], saved['meta']['iter'], saved['resume_state']['samples']) == (1, 9, 6)
    train(tmp_path, resume=True, checkpoint=dict(max_keep_ckpts=-1, save_best=None))
    assert checkpoints(tmp_path) == ['epoch_1.pth', 'epoch_2.pth', 'epoch_3.pth']


def test_files_that_a_killed_run_left_are_removed(tmp_path):
    """As after a kill between writing epoch 2 and removing epoch 1."""
    train(tmp_path, epochs=2, checkpoint=dict(save_best=None))
    (tmp_path / 'epoch_1.pth').write_bytes(b'old')
    (tmp_path / '.epoch_2.pth.123.writing').write_bytes(b'half')
    train(tmp_path, resume=True, checkpoint=dict(save_best=None))
    assert checkpoints(tmp_path) == ['epoch_3.pth']
    assert list(tmp_path.glob('.*')) == []


def test_published_file_is_small_and_named_by_its_content(tmp_path):
    train(tmp_path, epochs=1, checkpoint=dict(save_best=None, published_keys=['meta', 'state_dict']))
    published = next(iter(tmp_path.glob('epoch_1-*.pth')))
    assert published.stem.split('-')[1] == hashlib.sha256(published.read_bytes()).hexdigest()[:8]
    assert sorted(torch.load(published, weights_only=False)) == ['meta', 'state_dict']
    assert checkpoints(tmp_path) == [published.name, 'epoch_1.pth']


def test_other_folder_for_checkpoints(tmp_path):
    config = dict(checkpoint=dict(out_dir=str(tmp_path / 'elsewhere'), save_best=None))
    train(tmp_path / 'run', epochs=1, **config)
    assert checkpoints(tmp_path / 'elsewhere' / 'run') == ['epoch_1.pth']
    runner = train(tmp_path / 'run', epochs=2, resume=True, **config)
    assert runner.iter == 12
    assert checkpoints(tmp_path / 'elsewhere' / 'run') == ['epoch_2.pth']


def test_folder_in_a_bucket_is_left_to_the_buckets_own_backend(tmp_path):
    with pytest.raises(ImportError, match='petrel_client'):
        train(tmp_path, checkpoint=dict(out_dir='s3://bucket/runs'))
    assert not Path('s3:').exists()


def test_deferred_removal_never_removes_what_is_kept(tmp_path):
    class Backend:
        removed: list = []

        def isfile(self, path: str) -> bool:
            return path != 'gone'

        def remove(self, path: str) -> None:
            self.removed.append(path)
    deferred = module._DeferredRemoval(Backend())
    for path in ('a', 'gone', 'kept'):
        deferred.remove(path)
    assert Backend.removed == []
    deferred.flush(keep=['kept', None])
    assert Backend.removed == ['a']
    assert deferred.pending == []
