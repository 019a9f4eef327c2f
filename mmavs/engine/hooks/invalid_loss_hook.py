"""NaN and infinite losses and gradients: the clips are named, and the weights never see the gradient."""

import json
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce, is_main_process
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from torch import Tensor

from mmavs.engine.write_guard import WriteGuard
from mmavs.registry import HOOKS

RECORD_NAME = 'invalid_loss.jsonl'


class InvalidLossError(RuntimeError):
    """The loss or its gradient is NaN or infinite; the message names the clips."""


class _InvalidGradientError(Exception):
    """Leaves mmengine's update between the backward pass and the step."""


@HOOKS.register_module()
class InvalidLossHook(Hook):
    """Stop, or skip the batch, when the loss of any process, or a gradient, is NaN or infinite.

    The loss is looked at before the backward pass and the gradient before the update, so no weight and no optimizer
    state is touched by them; buffers that the forward pass changes (BatchNorm's statistics) are put back. The clips of
    the batch are appended to ``invalid_loss.jsonl`` in the work directory, one JSON object per event: what (loss or
    gradient), epoch, iter, loss per process, clips per process, action. On stopping, the state before the batch is
    saved for ``--resume``.

    With gradient accumulation, an invalid gradient takes those of its group with it, which are added up already. With
    a loss scale (float16) gradients are left to the scaler, whose way of finding the scale they are.

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
        self._buffers: list[Tensor] = []
        self._guard = WriteGuard(RECORD_NAME)

    def before_train(self, runner: Any) -> None:
        """Put the checks around the optimizer wrapper's backward pass."""
        wrapper = runner.optim_wrapper
        if not isinstance(wrapper, OptimWrapper):
            runner.logger.warning('InvalidLossHook checks single optimizers only and is off for this optim_wrapper.')
            return
        update, backward = wrapper.update_params, wrapper.backward

        def checked_backward(loss: Tensor, **kwargs: Any) -> None:
            backward(loss, **kwargs)
            if not hasattr(wrapper, 'loss_scaler') and not _all_finite(gradient_norms(wrapper)):
                raise _InvalidGradientError

        def checked_update(loss: Tensor, *args: Any, **kwargs: Any) -> None:
            if not _all_finite(loss):
                self._handle(runner, loss, 'loss')
                _count_skipped_batch(wrapper)
                return
            try:
                update(loss, *args, **kwargs)
                self._skips = 0
            except _InvalidGradientError:
                wrapper.zero_grad()
                self._handle(runner, loss, 'gradient')

        wrapper.backward, wrapper.update_params = checked_backward, checked_update

    def after_train(self, runner: Any) -> None:
        """Take the checks out again."""
        for name in ('update_params', 'backward'):
            vars(runner.optim_wrapper).pop(name, None)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Remember the batch, to name its clips if it is invalid, and the buffers, to put them back."""
        self._batch, self._batch_idx = data_batch, batch_idx
        self._buffers = [buffer.clone() for buffer in runner.model.buffers()]

    def _handle(self, runner: Any, loss: Tensor, what: str) -> None:
        for buffer, before in zip(runner.model.buffers(), self._buffers, strict=True):
            buffer.copy_(before)
        self._skips += 1
        stop = self.action == 'stop' or self._skips >= self.max_skips
        event = dict(what=what, epoch=runner.epoch + 1, iter=runner.iter + 1, loss=all_gather_object(str(loss.item())),
                     clips=all_gather_object(clip_names(self._batch)), action='stop' if stop else 'skip')
        record = Path(runner.work_dir) / RECORD_NAME
        if is_main_process():
            with self._guard(), open(record, 'a', encoding='utf-8') as file:
                file.write(json.dumps(event) + '\n')
        message = _describe(event, record)
        if not stop:
            runner.logger.warning(f'{message}: the batch is skipped.')
            return
        if runner.iter > 0:
            runner.call_hook('save_interrupted', iteration=runner.iter, batches=self._batch_idx)
        after = f' after {self._skips} invalid batches in a row' if self.action == 'skip' else ''
        raise InvalidLossError(
            f'{message}. Training stops{after}; the weights are those before this batch. Check these clips, lower '
            'optim_wrapper.optimizer.lr, set optim_wrapper.clip_grad=dict(max_norm=1), or let such batches be skipped '
            "with default_hooks.invalid_loss.action='skip'.")


def _describe(event: dict, record: Path) -> str:
    losses = ', '.join(event['loss'])
    what = f'The loss is {losses}' if event['what'] == 'loss' else f'The gradient is not finite (the loss is {losses})'
    clips = ', '.join(name for names in event['clips'] for name in names)
    return f'{what} at epoch {event["epoch"]}, iteration {event["iter"]}, on the clips {clips} (recorded in {record})'


def gradient_norms(optim_wrapper: OptimWrapper) -> Tensor:
    """Norm of the gradient of each parameter that has one. Shape (P,)."""
    gradients = [parameter.grad for group in optim_wrapper.optimizer.param_groups for parameter in group['params']
                 if parameter.grad is not None]
    return torch.stack(torch._foreach_norm(gradients)) if gradients else torch.zeros(0)


def _all_finite(values: Tensor) -> bool:
    """Processes agree: with a gradient from only some of them the others would wait for ever."""
    valid = torch.isfinite(values.detach()).all().to(torch.int32)
    all_reduce(valid, op='min')
    return bool(valid)


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
