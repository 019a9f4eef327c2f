"""Stopping cleanly when a cluster takes the machine back."""

import os
import signal
import threading
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce, barrier, broadcast_object_list, get_world_size
from mmengine.hooks import Hook

from mmavs.registry import HOOKS

# EX_TEMPFAIL of sysexits.h: "try again later".
EXIT_PREEMPTED = 75


@HOOKS.register_module()
class PreemptionHook(Hook):
    """Save and leave on SIGTERM or SIGINT (Ctrl-C), to be continued with ``--resume`` in mid-epoch.

    The running iteration is finished (with gradient accumulation: up to the next update), the state is saved, and the
    process exits with the code ``EXIT_PREEMPTED`` (75), so that a job script can tell "continue me" from failure. A
    second signal ends the process at once. Under ``torchrun`` the launcher reports its own exit code.

    Processes agree at the end of each iteration, so all stop at the same one although the signal reaches them at
    different times or reaches only one. During validation nothing needs saving, because the training loops save before
    it: a single process leaves at once, several after the validation.

    Args:
        signals: Names of the signals. Default: ``('SIGTERM', 'SIGINT')``.

    Raises:
        ValueError: If a signal does not exist.
        RuntimeError: On starting training, if the config has no :class:`AtomicCheckpointHook`.
    """

    priority = 'LOWEST'

    def __init__(self, signals: Sequence[str] = ('SIGTERM', 'SIGINT')) -> None:
        unknown = [name for name in signals if not hasattr(signal, name)]
        if unknown:
            raise ValueError(f'signals={tuple(signals)} names {unknown[0]!r}, which does not exist here; '
                             "use names such as 'SIGTERM'.")
        self.signals = [getattr(signal, name) for name in signals]
        self._previous: dict[int, Any] = {}
        self._received: int | None = None

    def before_train(self, runner: Any) -> None:
        """Install the signal handlers (main thread only)."""
        if not any(hasattr(hook, 'save_interrupted') for hook in runner.hooks):
            raise RuntimeError("PreemptionHook saves through AtomicCheckpointHook: set default_hooks.checkpoint.type="
                               "'mmavs.AtomicCheckpointHook', or leave it out by default_hooks.preemption=None.")
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._receive) for number in self.signals}

    def after_train(self, runner: Any) -> None:
        """Put the former signal handlers back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Save and exit if any process was told to stop."""
        # Half-accumulated gradients are not part of a checkpoint.
        updated = runner.optim_wrapper.should_update() if hasattr(runner.optim_wrapper, 'should_update') else True
        if self._agreed() and updated:
            runner.call_hook('save_interrupted', iteration=runner.iter + 1, batches=batch_idx + 1)
            self._leave(runner)

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Leave a validation whose checkpoint is already on the disk."""
        if self._received is not None and get_world_size() == 1 and self._is_saved(runner):
            self._leave(runner)

    def after_val_epoch(self, runner: Any, metrics: dict | None = None) -> None:
        """Leave after a validation."""
        if self._previous and self._agreed() and self._is_saved(runner):
            self._leave(runner)

    def _agreed(self) -> bool:
        """Whether any process has received a signal."""
        told = torch.tensor(int(self._received is not None))
        all_reduce(told, op='max')
        return bool(told)

    def _is_saved(self, runner: Any) -> bool:
        """Whether the running iteration is on the disk; the main process knows, others wrote nothing."""
        saved = [any(getattr(hook, 'saved_iteration', None) == runner.iter for hook in runner.hooks)]
        broadcast_object_list(saved)
        return saved[0]

    def _leave(self, runner: Any) -> None:
        # A launcher may end the other processes as soon as one is gone: wait until the main process has saved.
        barrier()
        runner.logger.warning(f'Stopped by a signal after iteration {runner.message_hub.get_info("iter") + 1}; '
                              f'continue with --resume (exit code {EXIT_PREEMPTED}).')
        self.after_train(runner)
        raise SystemExit(EXIT_PREEMPTED)

    def _receive(self, number: int, frame: Any) -> None:
        self._received = number
        for each in self.signals:
            signal.signal(each, signal.SIG_DFL)
        # Logging is not safe inside a signal handler.
        os.write(2, f'\n{signal.Signals(number).name}: stopping after this iteration (again: at once)\n'.encode())
