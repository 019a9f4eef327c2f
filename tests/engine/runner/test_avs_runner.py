import os

import pytest
import torch
from mmengine.runner import EpochBasedTrainLoop

from mmavs.engine.runner import AVSRunner, ResumableEpochLoop, ResumableIterLoop
from mmavs.engine.samplers import SeededDataset, SeededSampler
from mmavs.utils.safe_load import UnsafeCheckpointError
from tests.engine.toy import SignalAt, ToyDataset, ToyModel, assert_same_weights, toy_config, train

pytestmark = pytest.mark.usefixtures('toy_runs')


class Bomb:
    """Creates a folder when it is unpickled."""

    def __init__(self, path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.path, )


def edit(path, **changes) -> None:
    checkpoint = torch.load(path, weights_only=False)
    checkpoint.update(changes)
    torch.save(checkpoint, path)


def state_of(path) -> dict:
    return torch.load(path, weights_only=False)['state_dict']


@pytest.fixture
def trained(tmp_path):
    """A run of two epochs whose checkpoints are both kept."""
    train(tmp_path / 'run', epochs=2, checkpoint=dict(max_keep_ckpts=-1))
    return tmp_path / 'run'


@pytest.mark.parametrize('resume', [True, False])
def test_malicious_pickle_is_not_executed(trained, tmp_path, resume):
    edit(trained / 'epoch_2.pth', extra=Bomb(tmp_path / 'exploded'))
    with pytest.raises(UnsafeCheckpointError, match='--trust-checkpoint'):
        train(tmp_path / 'other', resume=resume, load_from=str(trained / 'epoch_2.pth'))
    assert not (tmp_path / 'exploded').exists()


def test_config_text_in_a_checkpoint_is_not_executed(trained, tmp_path):
    """Mmengine's ``Runner.resume`` would run it."""
    meta = torch.load(trained / 'epoch_2.pth', weights_only=False)['meta']
    edit(trained / 'epoch_2.pth', meta=dict(meta, config=f'import os\nos.mkdir({str(tmp_path / "exploded")!r})\n'))
    runner = train(trained, resume=True)
    assert runner.epoch == 3
    assert not (tmp_path / 'exploded').exists()


def damage_truncate(path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def damage_bit(path) -> None:
    data = bytearray(path.read_bytes())
    position = data.index(b'layers.0.weight')
    data[position] ^= 1
    path.write_bytes(bytes(data))


def damage_bomb(path) -> None:
    edit(path, extra=Bomb(path.parent / 'exploded'))


@pytest.mark.parametrize(('damage', 'reason'), [
    (damage_truncate, 'it is truncated or no checkpoint'), (damage_bit, 'its content is damaged'),
    (lambda path: path.write_bytes(b''), 'it is empty'), (damage_bomb, '--trust-checkpoint')])
def test_resume_passes_over_what_is_not_valid_and_names_it(trained, tmp_path, damage, reason):
    train(tmp_path / 'reference')
    damage(trained / 'epoch_2.pth')
    train(trained, resume=True, log_level='WARNING')
    logs = ''.join(path.read_text() for path in trained.glob('*/*.log'))
    assert f'Passed over {trained}/epoch_2.pth: ' in logs
    assert reason in logs
    assert '..' not in logs.replace('...', '')
    assert not (trained / 'exploded').exists()
    assert_same_weights(trained, tmp_path / 'reference')


def test_only_damaged_checkpoints_are_an_error(trained):
    for name in ('epoch_1.pth', 'epoch_2.pth'):
        damage_truncate(trained / name)
    with pytest.raises(RuntimeError, match=r'None of the 2 checkpoints in .* can be resumed from'):
        train(trained, resume=True)


def test_nothing_to_resume_from_starts_from_scratch(tmp_path):
    train(tmp_path / 'a', resume=True, log_level='INFO')
    train(tmp_path / 'b')
    assert_same_weights(tmp_path / 'a', tmp_path / 'b')
    assert f'No checkpoint to resume from in {tmp_path}/a: training starts from scratch.' in logs_of(tmp_path / 'a')


def test_checkpoint_of_mmengine_resumes_with_a_warning(tmp_path):
    hooks = dict(checkpoint=dict(type='CheckpointHook', interval=1))
    train(tmp_path / 'a', epochs=1, default_hooks=hooks)
    runner = train(tmp_path / 'a', resume=True, log_level='WARNING')
    assert runner.epoch == 3
    assert 'was not written by AtomicCheckpointHook' in ''.join(p.read_text() for p in (tmp_path / 'a').glob('*/*.log'))


def logs_of(folder) -> str:
    return ''.join(path.read_text() for path in folder.glob('*/*.log'))


def test_resume_goes_on_in_the_work_folder_and_not_from_load_from(trained, tmp_path):
    """A run that began from another run's epoch 1 was stopped after its own epoch 2."""
    other = str(trained / 'epoch_1.pth')
    train(tmp_path / 'reference', load_from=other)
    train(tmp_path / 'stopped', load_from=other, epochs=2, checkpoint=dict(max_keep_ckpts=-1))
    runner = train(tmp_path / 'stopped', load_from=other, resume=True, log_level='INFO')
    assert runner.iter == 18
    assert_same_weights(tmp_path / 'stopped', tmp_path / 'reference')
    assert (f'goes on from {tmp_path}/stopped/epoch_2.pth in the work folder; load_from={other} is not read'
            in logs_of(tmp_path / 'stopped'))


def test_resume_in_an_empty_work_folder_takes_the_training_named_by_load_from(trained, tmp_path):
    train(tmp_path / 'reference')
    runner = train(tmp_path / 'new', resume=True, load_from=str(trained / 'epoch_1.pth'), log_level='INFO')
    assert f'training starts where load_from={trained}/epoch_1.pth ended.' in logs_of(tmp_path / 'new')
    assert (runner.epoch, runner.iter) == (3, 18)
    assert_same_weights(tmp_path / 'new', tmp_path / 'reference')


def test_resume_with_weights_only_in_load_from_starts_with_them(trained, tmp_path):
    weights = dict(state_dict=state_of(trained / 'epoch_1.pth'))
    torch.save(weights, tmp_path / 'weights.pth')
    config = dict(load_from=str(tmp_path / 'weights.pth'), custom_hooks=[])
    train(tmp_path / 'reference', **config)
    runner = train(tmp_path / 'new', resume=True, log_level='INFO', **config)
    assert runner.iter == 18
    assert f'training starts with the weights of load_from={tmp_path}/weights.pth.' in logs_of(tmp_path / 'new')
    assert_same_weights(tmp_path / 'new', tmp_path / 'reference')
    train(tmp_path / 'without', custom_hooks=[])
    with pytest.raises(AssertionError):
        assert_same_weights(tmp_path / 'new', tmp_path / 'without')


def rename_all(state) -> dict:
    return {f'foo.{name}': value for name, value in state.items()}


def reshape_one(state) -> dict:
    return dict(state, **{'layers.3.weight': torch.ones(2, 8)})


MISFITS = [(rename_all, r'it lacks layers\.0\.bias, .* and \d more; it has unknown foo\.layers'),
           (reshape_one, r'it has layers\.3\.weight \(2, 8\) instead of \(1, 8\)'),
           (lambda state: dict(state, extra=torch.ones(1)), 'it has unknown extra')]


@pytest.mark.parametrize(('change', 'message'), MISFITS)
def test_a_checkpoint_that_does_not_fit_gives_no_scores(trained, tmp_path, change, message):
    edit(trained / 'epoch_2.pth', state_dict=change(state_of(trained / 'epoch_2.pth')))
    cfg = toy_config(tmp_path / 'test', load_from=str(trained / 'epoch_2.pth'))
    cfg.update(test_dataloader=cfg.val_dataloader, test_cfg={}, test_evaluator=cfg.val_evaluator)
    with pytest.raises(ValueError, match=f'epoch_2.pth does not fit the model: {message}.*; check that it was trained'):
        AVSRunner.from_cfg(cfg).test()
    with pytest.raises(ValueError, match=f'epoch_2.pth does not fit the model: {message}'):
        train(trained, resume=True)


def test_training_may_begin_with_a_part_of_the_weights_and_says_which(trained, tmp_path):
    state = state_of(trained / 'epoch_2.pth')
    torch.save(dict(state_dict=dict(reshape_one(state), extra=torch.ones(1))), tmp_path / 'part.pth')
    cfg = toy_config(tmp_path / 'new', load_from=str(tmp_path / 'part.pth'), custom_hooks=[], log_level='WARNING')
    runner = AVSRunner.from_cfg(cfg)
    runner._trains = True
    initial = runner.model.layers[3].weight.clone()
    runner.load_or_resume()
    assert torch.equal(runner.model.layers[0].weight, state['layers.0.weight'])
    assert torch.equal(runner.model.layers[3].weight, initial)
    warnings = [line for line in logs_of(tmp_path / 'new').splitlines() if 'part.pth' in line]
    assert len(warnings) == 1
    assert (f'8 of the 9 weights of the model were loaded from {tmp_path}/part.pth: it has unknown extra; it has '
            'layers.3.weight (2, 8) instead of (1, 8). The others keep') in warnings[0]


def test_training_does_not_begin_from_a_file_with_nothing_of_the_model(trained, tmp_path):
    torch.save(dict(state_dict=rename_all(state_of(trained / 'epoch_2.pth'))), tmp_path / 'foo.pth')
    with pytest.raises(ValueError, match=r'foo\.pth does not fit the model at all: it lacks .*; check load_from'):
        train(tmp_path / 'new', load_from=str(tmp_path / 'foo.pth'), custom_hooks=[])
    assert list((tmp_path / 'new').glob('*.pth')) == []


def test_weights_go_to_the_model_within_its_wrapper(tmp_path):
    weights = ToyModel().state_dict()
    torch.save(dict(state_dict=weights), tmp_path / 'weights.pth')
    runner = AVSRunner.from_cfg(toy_config(tmp_path / 'run', custom_hooks=[], log_level='WARNING'))
    runner.model, runner._trains = torch.nn.DataParallel(runner.model), True
    runner.load_checkpoint(str(tmp_path / 'weights.pth'))
    assert torch.equal(runner.model.module.layers[3].weight, weights['layers.3.weight'])
    assert 'weights of the model were loaded' not in logs_of(tmp_path / 'run'), 'all of them were'


def test_names_in_a_file_may_be_revised(tmp_path):
    weights = ToyModel().state_dict()
    torch.save(dict(state_dict=rename_all(weights)), tmp_path / 'weights.pth')
    runner = AVSRunner.from_cfg(toy_config(tmp_path / 'run', custom_hooks=[]))
    runner.load_checkpoint(str(tmp_path / 'weights.pth'), strict=True, revise_keys=[(r'^foo\.', '')])
    assert torch.equal(runner.model.layers[3].weight, weights['layers.3.weight'])


def test_two_runs_with_one_seed_are_equal_and_another_seed_is_not(tmp_path):
    for name, seed in (('a', 3), ('b', 3), ('c', 4)):
        train(tmp_path / name, epochs=1, randomness=dict(seed=seed))
    assert_same_weights(tmp_path / 'a', tmp_path / 'b', 'epoch_1.pth')
    with pytest.raises(AssertionError):
        assert_same_weights(tmp_path / 'a', tmp_path / 'c', 'epoch_1.pth')


def test_dataloader_is_seeded_and_keeps_off_the_models_generator(tmp_path):
    runner = AVSRunner.from_cfg(toy_config(tmp_path, workers=1))
    loader = runner.build_dataloader(runner.cfg.train_dataloader, seed=5)
    assert isinstance(loader.dataset, SeededDataset)
    assert isinstance(loader.dataset.dataset, ToyDataset)
    assert loader.dataset.metainfo == ToyDataset.metainfo
    assert isinstance(loader.sampler, SeededSampler)
    assert loader.sampler.seed == 5
    before = torch.get_rng_state()
    next(iter(loader))
    assert torch.equal(torch.get_rng_state(), before)
    assert runner.build_dataloader(loader) is loader


@pytest.mark.parametrize(('loop', 'kind'), [
    (dict(type='EpochBasedTrainLoop', max_epochs=1), ResumableEpochLoop),
    (dict(type='mmengine.EpochBasedTrainLoop', max_epochs=1), ResumableEpochLoop),
    (dict(by_epoch=True, max_epochs=1), ResumableEpochLoop),
    (dict(by_epoch=False, max_iters=1), ResumableIterLoop),
    (dict(type='IterBasedTrainLoop', max_iters=1), ResumableIterLoop)])
def test_loops_are_resumable(tmp_path, loop, kind):
    assert type(AVSRunner.from_cfg(toy_config(tmp_path, train_cfg=loop)).train_loop) is kind


def test_interrupted_run_without_a_checkpoint_starts_again(tmp_path):
    with pytest.raises(SystemExit):
        train(tmp_path / 'a', SignalAt(2))
    for path in (tmp_path / 'a').glob('*.pth'):
        path.unlink()
    train(tmp_path / 'a', resume=True)
    train(tmp_path / 'b')
    assert_same_weights(tmp_path / 'a', tmp_path / 'b')


def test_none_leaves_any_default_hook_out(tmp_path):
    hooks = toy_config(tmp_path).default_hooks
    hooks.update(preemption=None, timer=None)
    kinds = {type(hook).__name__ for hook in AVSRunner.from_cfg(toy_config(tmp_path, default_hooks=hooks)).hooks}
    assert kinds.isdisjoint({'PreemptionHook', 'IterTimerHook'})
    assert kinds >= {'InvalidLossHook', 'AtomicCheckpointHook', 'RuntimeInfoHook'}


@pytest.mark.parametrize('kind', ['mmengine.runner.EpochBasedTrainLoop', EpochBasedTrainLoop])
def test_loops_are_resumable_in_pure_python_configs_too(tmp_path, kind):
    loop = AVSRunner.from_cfg(toy_config(tmp_path)).build_train_loop(dict(type=kind, max_epochs=1))
    assert type(loop) is ResumableEpochLoop
