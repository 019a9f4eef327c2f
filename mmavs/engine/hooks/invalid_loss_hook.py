"""NaN and infinite losses: the clips are named, and the weights never see the gradient."""

import json
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce, is_main_process
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper

from mmavs.registry import HOOKS

RECORD_NAME = 'invalid_loss.jsonl'


class InvalidLossError(RuntimeError):
    """The loss is NaN or infinite; the message names the clips."""


@HOOKS.register_module()
class InvalidLossHook(Hook):
    """Stop, or skip the batch, when the loss of any process is NaN or infinite.

    The loss is looked at before the backward pass, so no weight and no optimizer state is touched by it. The clips of
    the batch are appended to ``invalid_loss.jsonl`` in the work directory, one JSON object per event: epoch, iter,
    loss per process, clips per process, action. On stopping, the state before the batch is saved for ``--resume``.

    Args:
        action: ``'stop'`` (default) raises :class:`InvalidLossError`; ``'skip'`` goes on with the next batch.
        max_skips: With ``'skip'``, number of invalid batches in a row after which training stops all the same, since
            then nothing is learned. Default 20.

    Raises:
        ValueError: For another ``action`` or a ``max_skips`` below 1.
    """

    priority = 'VERY_LOW'

    def __init__(self, action: str = 'stop', max_skips: int = 20) -> None:
        if action not in ('stop', 'skip'):
            raise ValueError(f"action={action!r} of InvalidLossHook must be 'stop' or 'skip'.")
        if max_skips < 1:
            raise ValueError(f'max_skips={max_skips} of InvalidLossHook must be at least 1.')
        self.action = action
        self.max_skips = max_skips
        self._skips = 0
        self._batch: Any = None
        self._batch_idx = 0

    def before_train(self, runner: Any) -> None:
        """Put the check in front of the optimizer wrapper's update."""
        if not isinstance(runner.optim_wrapper, OptimWrapper):
            runner.logger.warning('InvalidLossHook checks single optimizers only and is off for this optim_wrapper.')
            return
        update = runner.optim_wrapper.update_params

        def checked_update(loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
            if self._is_valid(loss):
                self._skips = 0
                update(loss, *args, **kwargs)
            else:
                self._handle(runner, loss)

        runner.optim_wrapper.update_params = checked_update

    def after_train(self, runner: Any) -> None:
        """Take the check out again."""
        vars(runner.optim_wrapper).pop('update_params', None)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Remember the batch, to name its clips if its loss is invalid."""
        self._batch, self._batch_idx = data_batch, batch_idx

    def _is_valid(self, loss: torch.Tensor) -> bool:
        """Processes agree: with a gradient from only some of them the others would wait for ever."""
        valid = torch.isfinite(loss.detach()).all().to(torch.int32)
        all_reduce(valid, op='min')
        return bool(valid)

    def _handle(self, runner: Any, loss: torch.Tensor) -> None:
        self._skips += 1
        stop = self.action == 'stop' or self._skips >= self.max_skips
        event = dict(epoch=runner.epoch + 1, iter=runner.iter + 1, loss=all_gather_object(str(loss.item())),
                     clips=all_gather_object(clip_names(self._batch)), action='stop' if stop else 'skip')
        record = Path(runner.work_dir) / RECORD_NAME
        if is_main_process():
            with open(record, 'a', encoding='utf-8') as file:
                file.write(json.dumps(event) + '\n')
        clips = ', '.join(name for names in event['clips'] for name in names)
        what = (f'The loss is {", ".join(event["loss"])} at epoch {event["epoch"]}, iteration {event["iter"]}, on the '
                f'clips {clips} (recorded in {record})')
        if not stop:
            runner.logger.warning(f'{what}: the batch is skipped.')
            _count_skipped_batch(runner.optim_wrapper)
            return
        if runner.iter > 0:
            runner.call_hook('save_interrupted', iteration=runner.iter, batches=self._batch_idx)
        after = f' after {self._skips} invalid batches in a row' if self.action == 'skip' else ''
        raise InvalidLossError(
            f'{what}. Training stops{after}; the weights are those before this batch. Check these clips, lower '
            'optim_wrapper.optimizer.lr, set optim_wrapper.clip_grad=dict(max_norm=1), or let such batches be skipped '
            "with default_hooks.invalid_loss.action='skip'.")


def clip_names(data_batch: Any) -> list[str]:
    """Names (``video_id``) of the clips of a collated batch; empty for a batch of unknown form."""
    samples = data_batch.get('data_samples', []) if isinstance(data_batch, dict) else []
    return [str(getattr(sample, 'video_id', getattr(sample, 'img_path', 'unknown'))) for sample in samples]


def _count_skipped_batch(optim_wrapper: OptimWrapper) -> None:
    """Keep the rhythm of gradient accumulation: the batch counts, with a gradient of zero."""
    optim_wrapper._inner_count += 1
    if optim_wrapper._accumulative_counts > 1 and optim_wrapper.should_update():
        optim_wrapper.step()
        optim_wrapper.zero_grad()
