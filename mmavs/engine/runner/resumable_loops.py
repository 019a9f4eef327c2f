"""Training loops that continue in mid-epoch with the same samples, random numbers and validations."""

from collections.abc import Iterator
from itertools import count, islice
from typing import Any

from mmengine.dist import get_rank, get_world_size
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch.utils.data import DataLoader

from mmavs.engine.samplers import SeededSampler

from .resume_state import apply_rng_state, apply_sampler_state


class _Resumable:
    """What both loops share. ``AVSRunner.resume`` fills ``resume_state`` from the checkpoint."""

    resume_state: dict | None = None
    validated_at: int = -1
    dataloader: DataLoader
    runner: Any

    def _restore_position(self) -> int:
        """Restore the sampler and return the batches of the current epoch that are already consumed."""
        if self.resume_state is None:
            return 0
        self.validated_at = self.resume_state['validated_at']
        return apply_sampler_state(self.resume_state, self.dataloader)

    def _restore_rng(self) -> None:
        if self.resume_state is not None:
            apply_rng_state(self.resume_state, get_rank())

    def _validate(self) -> None:
        """Validate, from a saved state: a broken clip, or a process that is lost, then costs no training.

        To save afterwards would be too late. A process that fails alone cannot bring the others to save with it, and
        hooks change the weights while a validation runs (EMAHook exchanges them).
        """
        self.runner.call_hook('save_interrupted', iteration=self._iter, batches=0)
        self.runner.val_loop.run()
        self.validated_at = self._iter

    def _load(self, start: int) -> Iterator[Any]:
        """Batches of the data loader from number ``start`` on.

        A loading error (a broken file) comes between two iterations, when weights and optimizer agree: the hooks may
        save the state before the error goes on. With several processes the others cannot take part, so there the last
        checkpoint has to do.
        """
        batches = iter(_batches_from(self.dataloader, start))
        for number in count(start):
            try:
                batch = next(batches)
            except StopIteration:
                return
            except Exception:
                if get_world_size() == 1 and self._iter > 0:
                    self.runner.call_hook('save_interrupted', iteration=self._iter, batches=number)
                raise
            yield batch


class ResumableEpochLoop(_Resumable, EpochBasedTrainLoop):
    """mmengine's epoch loop, resumable at any iteration.

    On resuming, the sampler skips what is consumed without loading it, the random states are restored before anything
    that could draw from them, and a validation that the interruption prevented is made up for, so that the best
    checkpoint is the uninterrupted run's too. Arguments are those of :class:`mmengine.runner.EpochBasedTrainLoop`.
    """

    def run(self) -> Any:
        """Train until ``max_epochs`` or until a hook sets ``stop_training``."""
        self.runner.call_hook('before_train')
        start = self._restore_position()
        self._restore_rng()
        if start == 0 and self._epoch > 0 and self.validated_at < self._iter:
            self._validate_if_due()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch(start)
            start = 0
            self._validate_if_due()
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_epoch(self, start: int = 0) -> None:
        """Train one epoch, from its batch number ``start`` on (default: all of it)."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        if start:
            self._restore_rng()
        for index, data_batch in enumerate(self._load(start), start):
            self.run_iter(index, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _validate_if_due(self) -> None:
        self._decide_current_val_interval()
        due = self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs
        if self.runner.val_loop is not None and self._epoch >= self.val_begin and due:
            self._validate()


class ResumableIterLoop(_Resumable, IterBasedTrainLoop):
    """mmengine's iteration loop, resumable at any iteration; the counterpart of :class:`ResumableEpochLoop`.

    A finite sampler is restarted for each pass over the data, with the number of the pass as its epoch. Arguments are
    those of :class:`mmengine.runner.IterBasedTrainLoop`.
    """

    def run(self) -> Any:
        """Train until ``max_iters`` or until a hook sets ``stop_training``."""
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        self._restore_position()
        self._restore_rng()
        if self._iter > 0 and self.validated_at < self._iter:
            self._validate_if_due()
        batches = self._endless_batches()
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(batches))
            self._validate_if_due()
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def _endless_batches(self) -> Iterator[Any]:
        sampler = self.dataloader.sampler
        if isinstance(sampler, SeededSampler) and sampler.infinite:
            yield from self._load(self._iter)
        first_pass, start = divmod(self._iter, len(self.dataloader))
        for epoch in count(first_pass):
            if hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(epoch)
            yield from self._load(start)
            start = 0

    def _validate_if_due(self) -> None:
        self._decide_current_val_interval()
        due = self._iter % self.val_interval == 0 or self._iter == self._max_iters
        if self.runner.val_loop is not None and self._iter >= self.val_begin and due:
            self._validate()


def _batches_from(loader: DataLoader, start: int) -> Iterator[Any] | DataLoader:
    if start == 0:
        return loader
    if isinstance(loader.sampler, SeededSampler) and loader.batch_size is not None:
        loader.sampler.start_at(start * loader.batch_size)
        return loader
    print_log(f'This batch sampler cannot start in mid-epoch: the first {start} batches are loaded and dropped.',
              'current', 30)
    return islice(loader, start, None)
