"""What a checkpoint must hold, beyond mmengine's content, so that a resumed run equals an uninterrupted one."""

from typing import Any

from mmengine.dist import all_gather_object, get_world_size
from mmengine.logging import print_log
from torch.utils.data import DataLoader

from mmavs.engine.samplers import SeededSampler

from .rng_state import capture_rng, restore_rng


def gather_resume_state(runner: Any, batches: int) -> dict:
    """Collect the state of the training loop and of every process's random number generators.

    All processes must call it together; the main process puts the result into the checkpoint.

    Args:
        runner: The runner.
        batches: Batches of the current epoch that this process has consumed; 0 between epochs.

    Returns:
        dict of
            samples: samples of the current epoch consumed by all processes together,
            dataset_length, sampler_seed (None without a seeded sampler),
            validated_at: iteration at which the last validation ended, -1 for none,
            rng: one state per process.
    """
    loader = runner.train_loop.dataloader
    sampler = loader.sampler
    return dict(
        samples=batches * samples_per_batch(loader),
        dataset_length=len(loader.dataset),
        sampler_seed=sampler.seed if isinstance(sampler, SeededSampler) else None,
        validated_at=getattr(runner.train_loop, 'validated_at', -1),
        rng=all_gather_object(capture_rng()))


def apply_sampler_state(state: dict, loader: DataLoader) -> int:
    """Give the sampler its old seed and return how many batches of this epoch are already consumed.

    Samples are counted, not batches, so a run may be resumed with another batch size: it continues after the same
    sample (rounded down to whole batches).

    Args:
        state: Result of :func:`gather_resume_state`.
        loader: The training data loader.
    """
    if state['dataset_length'] != len(loader.dataset):
        print_log(f'The checkpoint was trained on {state["dataset_length"]} samples, the dataset now has '
                  f'{len(loader.dataset)}: the sample order is not that of the interrupted run.', 'current', 30)
    if isinstance(loader.sampler, SeededSampler) and state['sampler_seed'] is not None:
        loader.sampler.seed = state['sampler_seed']
    return state['samples'] // samples_per_batch(loader)


def apply_rng_state(state: dict, rank: int) -> None:
    """Restore the generators of the process ``rank``, where the number of processes is that of the checkpoint."""
    if len(state['rng']) != get_world_size():
        print_log(f'The checkpoint holds the random states of {len(state["rng"])} processes and this run has '
                  f'{get_world_size()}: dropout and drop path will not repeat the interrupted run.', 'current', 30)
        return
    restore_rng(state['rng'][rank])


def samples_per_batch(loader: DataLoader) -> int:
    """Samples of one batch over all processes."""
    return (loader.batch_size or loader.batch_sampler.batch_size) * get_world_size()
