"""A sampler that sends the random seed of a sample along with its index, and can start in mid-epoch."""

import math
from collections.abc import Iterator, Sized
from itertools import islice

from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import Sampler


class SeededIndex(int):
    """A sample index that carries the seed words of that sample.

    It is an ``int``, so batch samplers and datasets that know nothing of it work as before, and it is pickled with its
    words, so they reach the data loader's workers.

    Args:
        index: Index of the sample in the dataset.
        words: Non-negative integers that the sample's random numbers depend on: (seed, epoch, index).
    """

    words: tuple[int, ...]

    def __new__(cls, index: int, words: tuple[int, ...]) -> 'SeededIndex':
        self = super().__new__(cls, index)
        self.words = words
        return self

    def __reduce__(self) -> tuple:
        return SeededIndex, (int(self), self.words)


class SeededSampler(Sampler):
    """Wrap a sampler: same order, but each index carries its seed, and the first samples can be skipped.

    Why seeds travel with the index: a worker's random state depends on how many workers there are and on what the
    worker did before, which neither a run resumed in mid-epoch nor one with another number of workers or processes can
    repeat. With the seed a function of (seed, epoch, index), the augmentation of a sample is always the same.

    Args:
        sampler: Config of a sampler (built with ``dataset`` and ``seed`` as defaults) or a sampler.
        dataset: Dataset to sample from. Default: that of ``sampler``.
        seed: Base seed. A sampler that has a ``seed`` of its own decides for both.
    """

    def __init__(self, sampler: dict | Sampler, dataset: Sized | None = None, seed: int | None = None) -> None:
        if isinstance(sampler, dict):
            sampler = DATA_SAMPLERS.build(sampler, default_args=dict(dataset=dataset, seed=seed))
        self.sampler = sampler
        self.epoch = 0
        self._own_seed = seed or 0
        self._start = 0

    @property
    def seed(self) -> int:
        """Seed of the order and of the samples."""
        return getattr(self.sampler, 'seed', self._own_seed)

    @seed.setter
    def seed(self, seed: int) -> None:
        self._own_seed = seed
        if hasattr(self.sampler, 'seed'):
            self.sampler.seed = seed

    @property
    def infinite(self) -> bool:
        """Whether the wrapped sampler never ends."""
        return isinstance(self.sampler, InfiniteSampler)

    def start_at(self, num_samples: int) -> None:
        """Let the next iteration begin after the first ``num_samples`` indices of this process; no data is loaded.

        Raises:
            ValueError: If ``num_samples`` is negative.
        """
        if num_samples < 0:
            raise ValueError(f'num_samples={num_samples} must not be negative: it counts samples to skip.')
        self._start = num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch: it decides the order and the samples' seeds."""
        self.epoch = epoch
        if hasattr(self.sampler, 'set_epoch'):
            self.sampler.set_epoch(epoch)

    def __iter__(self) -> Iterator[SeededIndex]:
        start, self._start = self._start, 0
        per_pass = math.ceil(len(self.sampler) / get_world_size()) if self.infinite else None
        for position, index in enumerate(islice(iter(self.sampler), start, None), start):
            epoch = position // per_pass if per_pass else self.epoch
            yield SeededIndex(index, (self.seed, epoch, int(index)))

    def __len__(self) -> int:
        return len(self.sampler)
