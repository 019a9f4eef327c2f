"""A dataset wrapper that seeds the random number generators for each sample, and the start-up of workers."""

import os
import random
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.registry import DATASETS
from torch.utils.data import Dataset

from .seeded_sampler import SeededIndex

_NOTICES = {signal.SIGTERM, signal.SIGINT}


class SeededDataset(Dataset):
    """Draw the random numbers of a sample from its own seed, whoever loads it and whatever was loaded before.

    An index that is a :class:`SeededIndex` seeds python's, numpy's and torch's CPU generator while the sample is
    loaded; afterwards they continue as if nothing had happened, so that loading in the main process (``num_workers=0``)
    does not disturb the model's random numbers either. All other attributes are those of the wrapped dataset.

    Args:
        dataset: Config of a dataset or a dataset.
    """

    def __init__(self, dataset: dict | Dataset) -> None:
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset

    def __getitem__(self, index: int) -> Any:
        if not isinstance(index, SeededIndex):
            return self.dataset[index]
        with sample_rng(index.words):
            return self.dataset[int(index)]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name == 'dataset' or name.startswith('__'):
            raise AttributeError(name)
        return getattr(self.dataset, name)


@contextmanager
def sample_rng(words: tuple[int, ...]) -> Iterator[None]:
    """Seed the three CPU generators from ``words`` inside the block and put their states back after it.

    The CUDA generators are left alone: transforms run on the CPU, and seeding those would disturb the model.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    seeds = [int(word) for word in np.random.SeedSequence(words).generate_state(3)]
    random.seed(seeds[0])
    np.random.seed(seeds[1])
    torch.default_generator.manual_seed(seeds[2])
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def init_worker(worker_id: int, *, num_workers: int, rank: int, seed: int) -> None:
    """Start a data loader worker.

    A cluster's pre-emption notice (SIGTERM) and Ctrl-C (SIGINT) often reach the workers too. They must live until the
    main process has finished its iteration and saved, so these signals end a worker only when the main process sends
    them.

    Args:
        worker_id: Number of the worker, from 0.
        num_workers: Workers per process.
        rank: Rank of the process.
        seed: Base seed, for random numbers drawn outside of samples.
    """
    worker_seed = (seed + rank * num_workers + worker_id) % 2**32
    random.seed(worker_seed)
    np.random.seed(worker_seed)
    torch.manual_seed(worker_seed)
    if hasattr(signal, 'sigwaitinfo'):
        signal.pthread_sigmask(signal.SIG_BLOCK, _NOTICES)
        threading.Thread(target=_obey_parent_only, args=(os.getppid(), ), daemon=True).start()
    if worker_id:
        warnings.simplefilter('ignore')


def _obey_parent_only(parent: int) -> None:
    while signal.sigwaitinfo(_NOTICES).si_pid != parent:
        pass
    os._exit(0)
