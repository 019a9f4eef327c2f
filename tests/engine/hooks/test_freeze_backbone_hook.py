"""Freezing in a real runner: alone, resumed, and with the distributed wrapper."""

import logging
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.runner import Runner
from torch import nn
from torch.nn.parallel import DataParallel

from mmavs.engine.hooks.freeze_backbone_hook import FreezeBackboneHook


class Numbers(BaseDataset):
    def load_data_list(self):
        generator = torch.Generator().manual_seed(0)
        return [dict(inputs=torch.randn(3, generator=generator)) for _ in range(4)]


class Toy(BaseModel):
    """Backbone with BatchNorm and dropout, one layer of it frozen for good; and a head."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 4))
        self.backbone[3].requires_grad_(False)
        self.head = nn.Linear(4, 1)

    def forward(self, inputs, mode='tensor', **kwargs):
        inputs = torch.stack(inputs) if isinstance(inputs, list) else inputs
        return dict(loss=self.head(self.backbone(inputs)).square().mean())


def make_runner(work_dir, max_epochs, hook=None, resume=False, by_epoch=True, model=None):
    return Runner(
        model=model or Toy(), work_dir=str(work_dir), resume=resume, default_scope='mmengine',
        custom_hooks=[hook] if hook else [], experiment_name=f'{work_dir.name}_{max_epochs}_{resume}',
        train_dataloader=dict(dataset=Numbers(), batch_size=2, num_workers=0,
                              sampler=dict(type='DefaultSampler', shuffle=False)),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.05, weight_decay=0.1)),
        train_cfg=dict(by_epoch=by_epoch, **{'max_epochs' if by_epoch else 'max_iters': max_epochs}),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=100),
                           checkpoint=dict(type='CheckpointHook', interval=1)),
        log_level='WARNING', randomness=dict(seed=3))


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def changed(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


HEAD = {'head.weight', 'head.bias'}


def test_nothing_of_the_backbone_moves_before_its_epoch(tmp_path):
    runner = make_runner(tmp_path, 2, FreezeBackboneHook(end_epoch=2))
    before = state(runner.model)
    runner.train()
    # Neither weights (gradient, weight decay) nor the statistics of BatchNorm.
    assert changed(before, state(runner.model)) == HEAD
    assert not runner.model.backbone.training
    assert runner.model.head.training
    assert all(p.grad is None for p in runner.model.backbone.parameters())


def test_it_trains_from_its_epoch_on_except_for_what_is_frozen_for_good(tmp_path):
    runner = make_runner(tmp_path, 3, FreezeBackboneHook(end_epoch=2))
    before = state(runner.model)
    runner.train()
    moved = changed(before, state(runner.model))
    assert moved == set(before) - {'backbone.3.weight', 'backbone.3.bias'}
    assert runner.model.backbone[1].num_batches_tracked == 2
    assert runner.model.backbone.training


def test_zero_epochs_never_freeze(tmp_path):
    with_hook = make_runner(tmp_path / 'a', 1, FreezeBackboneHook(0)).train()
    without = make_runner(tmp_path / 'b', 1).train()
    assert changed(state(with_hook), state(without)) == set()


@pytest.mark.parametrize('stop', [1, 2])
def test_resume_equals_the_uninterrupted_run(tmp_path, stop):
    whole = make_runner(tmp_path / 'whole', 4, FreezeBackboneHook(end_epoch=2), model=NoDropout())
    expected = state(whole.train())
    make_runner(tmp_path / 'cut', stop, FreezeBackboneHook(end_epoch=2), model=NoDropout()).train()
    resumed = make_runner(tmp_path / 'cut', 4, FreezeBackboneHook(end_epoch=2), resume=True, model=NoDropout())
    assert changed(expected, state(resumed.train())) == set()
    assert resumed.iter == 8


class NoDropout(Toy):
    """Without draws, whose state a checkpoint does not hold."""

    def __init__(self):
        super().__init__()
        self.backbone[2] = nn.Identity()


def test_errors(tmp_path):
    with pytest.raises(ValueError, match='end_epoch of FreezeBackboneHook must not be negative, but got -1'):
        FreezeBackboneHook(-1)
    with pytest.raises(ValueError, match='counts epochs: use EpochBasedTrainLoop'):
        make_runner(tmp_path / 'a', 2, FreezeBackboneHook(1), by_epoch=False).train()
    headless = Toy()
    headless.encoder = headless.backbone
    del headless.backbone
    with pytest.raises(ValueError, match='needs a model with a backbone, but Toy has none'):
        make_runner(tmp_path / 'b', 1, FreezeBackboneHook(1), model=headless).train()


def bare_runner(model, wrap_model=None):
    """What the hook looks at, without a training loop."""
    return SimpleNamespace(model=model, epoch=0, train_loop=None, cfg={}, logger=logging.getLogger('freeze'),
                           wrap_model=wrap_model)


def test_other_wrappers_are_refused():
    runner, hook = bare_runner(DataParallel(Toy())), FreezeBackboneHook(1)
    hook.before_train(runner)
    with pytest.raises(TypeError, match='DistributedDataParallel only, but it is in DataParallel'):
        hook.before_train_iter(runner, 0)


def train(model, data, runner, hook):
    """Three epochs of two steps; the first epoch is frozen."""
    optimizer, wrappers = torch.optim.SGD(model.parameters(), lr=0.05), []
    hook.before_train(runner)
    for runner.epoch in range(3):
        runner.model.train()
        for step in range(2):
            hook.before_train_iter(runner, step)
            wrappers.append(runner.model)
            optimizer.zero_grad()
            # Raises in the second step if the first one left out a parameter that the wrapper waits for.
            runner.model(data, mode='loss')['loss'].backward()
            optimizer.step()
    return wrappers


def make_deterministic():
    model = NoDropout()
    # Its statistics would differ between the halves of a batch.
    model.backbone[1] = nn.Identity()
    return model, torch.stack([item['inputs'] for item in Numbers()])


@pytest.fixture
def process_group():
    dist.init_process_group('gloo', store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures('process_group')
def test_distributed_wrapper_is_made_anew_when_the_state_changes():
    model, data = make_deterministic()
    runner = bare_runner(MMDistributedDataParallel(model), lambda cfg, module: MMDistributedDataParallel(module))
    first = runner.model
    frozen, _, released, *rest = train(model, data, runner, FreezeBackboneHook(end_epoch=1))
    assert first is not frozen
    assert frozen is not released
    assert all(wrapper is released for wrapper in rest)
    assert not any(wrapper.find_unused_parameters for wrapper in (frozen, released))
    alone, data = make_deterministic()
    train(alone, data, bare_runner(alone), FreezeBackboneHook(end_epoch=1))
    assert changed(state(alone), state(model)) == set()


@pytest.mark.usefixtures('process_group')
def test_freezing_without_a_new_wrapper_would_fail():
    model, data = make_deterministic()
    wrapper = MMDistributedDataParallel(model)
    model.backbone.requires_grad_(False)
    wrapper(data, mode='loss')['loss'].backward()
    with pytest.raises(RuntimeError, match='Expected to have finished reduction'):
        wrapper(data, mode='loss')
