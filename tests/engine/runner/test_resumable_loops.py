import pytest
import torch
from mmengine.hooks import Hook

from mmavs.engine.hooks import EXIT_PREEMPTED, AtomicCheckpointHook
from mmavs.engine.runner import ResumableEpochLoop, ResumableIterLoop
from tests.engine.toy import SignalAt, ToyDataset, ToyMetric, all_weights, assert_same_weights, toy_config, train

pytestmark = pytest.mark.usefixtures('toy_runs')
ITER_LOOP = dict(type='IterBasedTrainLoop', max_iters=18, val_interval=6)
BY_ITER = dict(by_epoch=False, interval=100, save_best=None)


def stop_and_resume(work_dir, iteration, **config):
    with pytest.raises(SystemExit) as stopped:
        train(work_dir, SignalAt(iteration), **config)
    assert stopped.value.code == EXIT_PREEMPTED
    return train(work_dir, resume=True, **config)


def test_epoch_loop_stopped_after_any_iteration(tmp_path):
    """The first, a middle and the last iteration of an epoch, and the last of all."""
    runner = train(tmp_path / 'reference')
    assert isinstance(runner.train_loop, ResumableEpochLoop)
    for iteration in (0, 8, 11, 17):
        runner = stop_and_resume(tmp_path / str(iteration), iteration)
        assert (runner.epoch, runner.iter) == (3, 18)
        assert_same_weights(tmp_path / str(iteration), tmp_path / 'reference')


def test_stopped_twice_in_one_epoch(tmp_path):
    train(tmp_path / 'reference')
    for iteration in (7, 9):
        with pytest.raises(SystemExit):
            train(tmp_path / 'stopped', SignalAt(iteration), resume=True)
    train(tmp_path / 'stopped', resume=True)
    assert_same_weights(tmp_path / 'stopped', tmp_path / 'reference')


def test_without_a_seed_in_the_config(tmp_path):
    """The order of the samples follows the seed in the checkpoint, not the one that the resumed run drew."""
    config = dict(randomness=dict(seed=None), checkpoint=dict(save_best=None))
    with pytest.raises(SystemExit):
        train(tmp_path / 'a', SignalAt(8), **config)
    checkpoint = torch.load(tmp_path / 'a' / 'epoch_1_iter_9.pth', weights_only=False)
    seed = checkpoint['meta']['seed']
    runner = train(tmp_path / 'a', resume=True, **config)
    assert runner.train_loop.dataloader.sampler.seed == seed
    train(tmp_path / 'b', **dict(config, randomness=dict(seed=seed)))
    assert_same_weights(tmp_path / 'a', tmp_path / 'b')


@pytest.mark.parametrize('sampler', ['DefaultSampler', 'InfiniteSampler'])
def test_iteration_loop(tmp_path, sampler):
    config = dict(train_cfg=ITER_LOOP, checkpoint=BY_ITER)
    loader = dict(batch_size=2, num_workers=0, sampler=dict(type=sampler, shuffle=True))

    def with_sampler(work_dir, **more):
        dataset = toy_config(work_dir).train_dataloader.dataset
        return dict(config, train_dataloader=dict(loader, dataset=dataset), **more)

    runner = train(tmp_path / 'reference', **with_sampler(tmp_path))
    assert isinstance(runner.train_loop, ResumableIterLoop)
    for iteration in (3, 11):
        folder = tmp_path / str(iteration)
        stop_and_resume(folder, iteration, **with_sampler(folder))
        assert_same_weights(folder, tmp_path / 'reference', 'iter_18.pth')


@pytest.mark.parametrize('loop', [{}, dict(train_cfg=ITER_LOOP, checkpoint=BY_ITER)], ids=['epochs', 'iterations'])
def test_the_model_trains_again_after_a_validation(tmp_path, loop):
    modes = []

    class Watch(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
            modes.append(runner.model.training)

    train(tmp_path, Watch(), **loop)
    assert modes == [True] * 18


@pytest.mark.parametrize(('loop', 'validated'), [
    (dict(type='EpochBasedTrainLoop', max_epochs=3, val_interval=3, dynamic_intervals=[(2, 1)]), [6, 12, 18]),
    (dict(ITER_LOOP, dynamic_intervals=[(12, 3)]), [6, 12, 15, 18]),
    (dict(type='EpochBasedTrainLoop', max_epochs=3, val_begin=3), [18]), (dict(ITER_LOOP, val_begin=12), [12, 18])])
def test_validations_come_when_they_are_due(tmp_path, loop, validated):
    found = []

    class Watch(Hook):
        def before_val(self, runner) -> None:
            found.append(runner.iter)

    train(tmp_path, Watch(), train_cfg=loop, checkpoint=dict(BY_ITER, by_epoch='max_epochs' in loop))
    assert found == validated


def test_missed_validation_is_made_up_for(tmp_path, monkeypatch):
    """A stop in the validation of epoch 2 comes after its checkpoint was written."""
    train(tmp_path / 'reference')
    with pytest.raises(SystemExit):
        train(tmp_path / 'stopped', SignalAt(12, stage='val'))
    assert not list((tmp_path / 'stopped').glob('best_*epoch_2.pth'))
    validations = []
    compute = ToyMetric.compute_metrics

    def counted(self, results):
        validations.append(1)
        return compute(self, results)
    monkeypatch.setattr(ToyMetric, 'compute_metrics', counted)
    written = []
    write = AtomicCheckpointHook._write
    monkeypatch.setattr(AtomicCheckpointHook, '_write',
                        lambda self, runner, name, meta: (written.append(name), write(self, runner, name, meta)))
    train(tmp_path / 'stopped', resume=True)
    assert len(validations) == 2
    assert set(written) <= {'epoch_2.pth', 'epoch_3.pth'}, 'what was resumed from is not saved again'
    assert_same_weights(tmp_path / 'stopped', tmp_path / 'reference')
    hubs = [torch.load(tmp_path / name / 'epoch_3.pth', weights_only=False)['message_hub']['runtime_info']['best_score']
            for name in ('stopped', 'reference')]
    assert hubs[0] == hubs[1]


def test_broken_sample_loses_no_training(tmp_path):
    """Clip 5 comes in iteration 1 at the earliest; all that was trained before it is kept."""
    with pytest.raises(ValueError, match='clip_5 is broken'):
        train(tmp_path / 'a', dataset=dict(broken=(5, )), randomness=dict(seed=1))
    saved = list((tmp_path / 'a').glob('epoch_0_iter_*.pth'))
    assert len(saved) == 1
    train(tmp_path / 'a', resume=True, randomness=dict(seed=1))
    train(tmp_path / 'reference', randomness=dict(seed=1))
    assert_same_weights(tmp_path / 'a', tmp_path / 'reference')


def with_val_clips(work_dir, **dataset) -> dict:
    """A loader for validations of six clips, some of which may be broken."""
    return dict(toy_config(work_dir).val_dataloader, dataset=dict(type=ToyDataset, length=6, **dataset))


@pytest.mark.parametrize(('loop', 'checkpoint', 'saved', 'last'), [
    (dict(type='EpochBasedTrainLoop', max_epochs=3), dict(interval=5), 'epoch_1_iter_6.pth', 'epoch_3.pth'),
    (ITER_LOOP, dict(by_epoch=False, interval=100), 'iter_6_interrupted.pth', 'iter_18.pth')])
def test_broken_validation_clip_loses_no_training(tmp_path, monkeypatch, loop, checkpoint, saved, last):
    """The regular checkpoints are far apart; the one before the validation is there, once, and is resumed from."""
    config = dict(train_cfg=loop, checkpoint=dict(checkpoint, max_keep_ckpts=-1))
    train(tmp_path / 'reference', **config)
    with pytest.raises(ValueError, match='clip_3 is broken'):
        train(tmp_path / 'a', val_dataloader=with_val_clips(tmp_path, broken=(3, )), **config)
    assert [path.name for path in (tmp_path / 'a').glob('*.pth')] == [saved]
    assert torch.load(tmp_path / 'a' / saved, weights_only=False)['meta']['iter'] == 6
    validations, compute = [], ToyMetric.compute_metrics
    monkeypatch.setattr(ToyMetric, 'compute_metrics',
                        lambda self, results: (validations.append(1), compute(self, results))[1])
    runner = train(tmp_path / 'a', resume=True, **config)
    assert (runner.iter, len(validations)) == (18, 3), 'the one that broke off is made up for'
    assert_same_weights(tmp_path / 'a', tmp_path / 'reference', last)
    left = sorted(path.name for path in (tmp_path / 'a').glob('*.pth') if not path.name.startswith('best_'))
    assert left == [last]


def test_nothing_is_saved_twice_where_a_checkpoint_precedes_the_validation(tmp_path, monkeypatch):
    written = []
    write = AtomicCheckpointHook._write

    def counted(self, runner, name, meta):
        written.append(name)
        write(self, runner, name, meta)
    monkeypatch.setattr(AtomicCheckpointHook, '_write', counted)
    train(tmp_path, checkpoint=dict(save_best=None))
    assert written == ['epoch_1.pth', 'epoch_2.pth', 'epoch_3.pth']


def test_another_batch_size_continues_after_the_same_sample(tmp_path):
    with pytest.raises(SystemExit):
        train(tmp_path / 'a', SignalAt(8), checkpoint=dict(save_best=None))
    runner = train(tmp_path / 'a', resume=True, batch_size=3, checkpoint=dict(save_best=None))
    # 9 iterations of 2, of which 3 in the second epoch: 6 of its 12 samples are done, 2 batches of 3 are left.
    assert runner.iter == 9 + 2 + 4
    assert len(all_weights(tmp_path / 'a')) > 0
