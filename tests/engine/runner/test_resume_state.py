import random

import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from mmavs.engine.runner import resume_state as module
from mmavs.engine.runner.resume_state import (
    apply_rng_state,
    apply_sampler_state,
    gather_resume_state,
    samples_per_batch,
)
from mmavs.engine.samplers import SeededSampler

DATA = list(range(12))


class Loop:
    validated_at = 4

    def __init__(self, loader: DataLoader) -> None:
        self.dataloader = loader


class FakeRunner:
    def __init__(self, **options) -> None:
        self.train_loop = Loop(loader(**options))


def loader(batch_size: int = 2, seed: int = 9, data: list = DATA) -> DataLoader:
    sampler = SeededSampler(dict(type='DefaultSampler'), dataset=data, seed=seed)
    return DataLoader(data, batch_size=batch_size, sampler=sampler)


@pytest.fixture
def warnings(monkeypatch):
    found = []
    monkeypatch.setattr(module, 'print_log', lambda text, *args: found.append(text))
    return found


def test_content():
    state = gather_resume_state(FakeRunner(), batches=3)
    assert {key: state[key] for key in state if key != 'rng'} == dict(samples=6, dataset_length=12, sampler_seed=9,
                                                                     validated_at=4)
    assert len(state['rng']) == 1


@pytest.mark.parametrize(('batch_size', 'batches'), [(2, 3), (3, 2), (4, 1), (6, 1)])
def test_position_is_counted_in_samples(warnings, batch_size, batches):
    state = gather_resume_state(FakeRunner(), batches=3)
    target = loader(batch_size, seed=1)
    assert apply_sampler_state(state, target) == batches
    assert target.sampler.seed == 9
    assert warnings == []


def test_other_dataset_length_is_reported(warnings):
    apply_sampler_state(gather_resume_state(FakeRunner(), batches=0), loader(data=DATA[:7]))
    assert warnings == ['The checkpoint was trained on 12 samples, the dataset now has 7: the sample order is not that '
                        'of the interrupted run.']


def test_plain_sampler():
    runner = FakeRunner()
    runner.train_loop = Loop(DataLoader(DATA, batch_size=2, sampler=SequentialSampler(DATA)))
    state = gather_resume_state(runner, batches=2)
    assert state['sampler_seed'] is None
    assert apply_sampler_state(state, runner.train_loop.dataloader) == 2


def test_a_batch_sampler_knows_the_size_of_its_batches(monkeypatch):
    batches = DataLoader(DATA, batch_sampler=BatchSampler(SequentialSampler(DATA), 3, drop_last=False))
    assert (samples_per_batch(batches), samples_per_batch(loader(4))) == (3, 4)
    monkeypatch.setattr(module, 'get_world_size', lambda: 2)
    assert (samples_per_batch(batches), samples_per_batch(loader(4))) == (6, 8)


def test_random_states_return(warnings):
    state = gather_resume_state(FakeRunner(), batches=0)
    first = random.random(), torch.rand(1).item()
    apply_rng_state(state, rank=0)
    assert (random.random(), torch.rand(1).item()) == first
    assert warnings == []


def test_other_number_of_processes_is_reported(warnings, monkeypatch):
    state = gather_resume_state(FakeRunner(), batches=0)
    monkeypatch.setattr(module, 'get_world_size', lambda: 2)
    before = random.getstate()
    apply_rng_state(state, rank=1)
    assert random.getstate() == before
    assert 'random states of 1 processes and this run has 2' in warnings[0]
