import pickle
from itertools import islice

import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import BatchSampler

from mmavs.engine.samplers import SeededIndex, SeededSampler
from mmavs.engine.samplers import seeded_sampler as module

DATA = list(range(10))


def seeded(seed: int = 3, **config) -> SeededSampler:
    return SeededSampler(dict(type='DefaultSampler', shuffle=True, **config), dataset=DATA, seed=seed)


def test_index_is_an_int_that_keeps_its_words_through_pickling():
    index = pickle.loads(pickle.dumps(SeededIndex(4, (7, 1, 4))))
    assert index == 4
    assert isinstance(index, int)
    assert DATA[index] == 4
    assert index.words == (7, 1, 4)


def test_same_order_as_the_wrapped_sampler_with_seed_epoch_and_index():
    plain = DefaultSampler(DATA, shuffle=True, seed=3)
    sampler = seeded()
    for epoch in (0, 5):
        plain.set_epoch(epoch)
        sampler.set_epoch(epoch)
        found = list(sampler)
        assert found == list(plain)
        assert [index.words for index in found] == [(3, epoch, index) for index in plain]
    assert len(sampler) == 10


def test_starting_later_gives_the_rest_once():
    sampler = seeded()
    everything = list(sampler)
    sampler.start_at(4)
    assert list(sampler) == everything[4:]
    assert list(sampler) == everything
    sampler.start_at(10)
    assert list(sampler) == []


def test_negative_start_is_refused():
    with pytest.raises(ValueError, match='num_samples=-1 must not be negative'):
        seeded().start_at(-1)


def test_changed_seed_decides_order_and_words():
    sampler = seeded(seed=3)
    sampler.seed = 8
    assert sampler.seed == 8
    assert list(sampler) == list(DefaultSampler(DATA, shuffle=True, seed=8))
    assert next(iter(sampler)).words[0] == 8


def test_sampler_without_a_seed_uses_ours():
    sampler = SeededSampler(torch.utils.data.SequentialSampler(DATA), seed=11)
    sampler.set_epoch(2)
    assert [index.words for index in sampler][:2] == [(11, 2, 0), (11, 2, 1)]
    sampler.seed = 12
    assert next(iter(sampler)).words == (12, 2, 0)


def test_batches_keep_the_words():
    sampler = seeded()
    sampler.start_at(3)
    batches = list(BatchSampler(sampler, 4, drop_last=False))
    assert [len(batch) for batch in batches] == [4, 3]
    assert batches[1][2].words == (3, 0, batches[1][2])


@pytest.mark.parametrize('world_size', [1, 2])
def test_infinite_sampler_counts_passes_as_epochs(monkeypatch, world_size):
    monkeypatch.setattr(module, 'get_world_size', lambda: world_size)
    plain = InfiniteSampler(DATA, seed=3)
    sampler = SeededSampler(InfiniteSampler(DATA, seed=3))
    assert sampler.infinite
    assert not seeded().infinite
    found = list(islice(iter(sampler), 25))
    assert found == list(islice(iter(plain), 25))
    per_pass = 10 // world_size
    assert [index.words[1] for index in found] == [position // per_pass for position in range(25)]
    late = SeededSampler(InfiniteSampler(DATA, seed=3))
    late.start_at(12)
    assert [index.words for index in islice(iter(late), 13)] == [index.words for index in found[12:]]
