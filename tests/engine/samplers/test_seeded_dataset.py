import os
import pickle
import random
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from mmavs.engine.samplers import SeededDataset, SeededIndex, SeededSampler, init_worker
from mmavs.engine.samplers.seeded_dataset import sample_rng


class Noise(Dataset):
    metainfo = dict(classes=('a', ))

    def __len__(self) -> int:
        return 9

    def __getitem__(self, index: int) -> torch.Tensor:
        assert type(index) is int
        return torch.tensor([random.random(), np.random.rand(), torch.rand(1).item()], dtype=torch.float64)


def states() -> list:
    return [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]


def load(workers: int = 0, batch_size: int = 2, start: int = 0, epochs: int = 2, **options) -> list[torch.Tensor]:
    sampler = SeededSampler(dict(type='DefaultSampler', shuffle=True), dataset=Noise(), seed=5)
    if workers:
        options.update(worker_init_fn=Init(workers), persistent_workers=True)
    loader = DataLoader(SeededDataset(Noise()), batch_size=batch_size, sampler=sampler, num_workers=workers, **options)
    out = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        sampler.start_at(start if epoch == 0 else 0)
        out += [row for batch in loader for row in batch]
    return out


class Init:
    def __init__(self, workers: int) -> None:
        self.workers = workers

    def __call__(self, worker_id: int) -> None:
        init_worker(worker_id, num_workers=self.workers, rank=0, seed=5)


def test_samples_do_not_depend_on_workers_batches_or_the_start():
    expected = load()
    assert len({tuple(row.tolist()) for row in expected}) == 18
    for found in (load(workers=2), load(workers=1, batch_size=3)):
        assert torch.equal(torch.stack(found), torch.stack(expected))
    assert torch.equal(torch.stack(load(start=6)), torch.stack(expected[6:]))


class Seeds(Noise):
    def __getitem__(self, index: int) -> int:
        return torch.initial_seed()


def test_every_worker_of_every_process_has_a_seed_of_its_own():
    found = [[int(seed) for seed in DataLoader(Seeds(), num_workers=2, worker_init_fn=partial(
        init_worker, num_workers=2, rank=rank, seed=5))][:4] for rank in (0, 1)]
    assert found == [[5, 6, 5, 6], [7, 8, 7, 8]]


def test_loading_in_the_main_process_leaves_its_generators_alone():
    before = states()
    SeededDataset(Noise())[SeededIndex(2, (0, 0, 2))]
    assert states() == before


def test_generators_are_put_back_after_an_error():
    def fail() -> None:
        with sample_rng((1, 2, 3)):
            random.random()
            raise KeyError
    before = states()
    with pytest.raises(KeyError):
        fail()
    assert states() == before


def test_each_word_matters():
    values = set()
    for words in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)):
        with sample_rng(words):
            values.add((random.random(), np.random.rand(), torch.rand(1).item()))
    assert len(values) == 4
    assert len({number for value in values for number in value}) == 12


def test_plain_index_is_not_seeded():
    dataset = SeededDataset(Noise())
    assert not torch.equal(dataset[1], dataset[1])


def test_other_attributes_are_the_datasets_own():
    dataset = SeededDataset(Noise())
    assert len(dataset) == 9
    assert dataset.metainfo == dict(classes=('a', ))
    assert not hasattr(dataset, 'full_init')
    assert pickle.loads(pickle.dumps(dataset)).metainfo == dataset.metainfo


class Pid(Dataset):
    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> int:
        return os.getpid()


def send_signals(number: int) -> None:
    """Send a signal to a worker from a process that is not its parent, then end the worker from its parent."""
    loader = DataLoader(Pid(), num_workers=1, persistent_workers=True, worker_init_fn=Init(1))
    worker = int(next(iter(loader)))
    stranger = os.fork()
    if stranger == 0:
        os.kill(worker, number)
        os._exit(0)
    os.waitpid(stranger, 0)
    assert {int(pid) for pid in loader} == {worker}
    process = loader._iterator._workers[0]
    process.terminate()
    process.join(10)
    assert process.exitcode == 0


@pytest.mark.skipif(not hasattr(signal, 'sigwaitinfo'), reason='needs sigwaitinfo')
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_worker_survives_a_strangers_signal_and_obeys_its_parent(number):
    # In a process of its own: what other tests have left in this one, a forked worker would inherit.
    code = f'from tests.engine.samplers.test_seeded_dataset import send_signals; send_signals({int(number)})'
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], cwd=Path(__file__).parents[3], check=False,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
