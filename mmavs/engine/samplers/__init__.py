"""Sample order and per-sample randomness that do not depend on workers, processes or interruptions."""

from .seeded_dataset import SeededDataset, init_worker
from .seeded_sampler import SeededIndex, SeededSampler

__all__ = ['SeededDataset', 'SeededIndex', 'SeededSampler', 'init_worker']
