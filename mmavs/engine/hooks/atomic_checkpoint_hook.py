"""Checkpoints that survive kill -9 and a full disk, and from which a run resumes bit for bit."""

import copy
import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import broadcast_object_list, is_main_process, master_only
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook

from mmavs.engine.runner.atomic_write import ATOMIC_BACKEND, atomic_write, remove_unfinished_files
from mmavs.engine.runner.resume_state import gather_resume_state
from mmavs.registry import HOOKS
from mmavs.utils.resume import checkpoint_step
from mmavs.utils.safe_load import load_checkpoint_file

# What this hook and the message hub remember about files; put back when a file cannot be written.
_BOOKS = ('last_ckpt', 'keep_ckpt_ids', 'best_ckpt_path', 'best_ckpt_path_dict')
_INFO_PREFIXES = ('last_ckpt', 'keep_ckpt_ids', 'best_')
# Checkpoints between the regular ones, which replace them: epoch_1_iter_9.pth, iter_9_interrupted.pth.
_INTERRUPTED = ('*_iter_*.pth', '*_interrupted.pth')


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook`` with safe order of writing; the arguments are the same.

    - Each file is written under another name, flushed and renamed, ``last_checkpoint`` included.
    - Outdated checkpoints are removed after the new one is on the disk, not before: with ``max_keep_ckpts=1`` too there
      is a complete one at any time, and the disk must hold one more than that.
    - A file that cannot be written (full disk) does not end the training: the earlier checkpoints stay, the log says
      what to do, and the next interval tries again. Only a missing last checkpoint is an error, at the end.
    - Checkpoints also hold the random states of all processes and the position in the epoch (``resume_state``).
    - Other parts can save between iterations by ``runner.call_hook('save_interrupted', iteration=..., batches=...)``;
      the training loops do before each validation. Such a file is removed when the next checkpoint is written.

    Args:
        **kwargs: Those of :class:`mmengine.hooks.CheckpointHook`.

    Raises:
        TypeError: For an unknown argument.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.args:
            raise TypeError(f'AtomicCheckpointHook got unknown arguments {sorted(self.args)}; it takes those of '
                            'mmengine.hooks.CheckpointHook, e.g. interval, max_keep_ckpts, save_best.')
        if self.backend_args is None and self.file_client_args is None:
            self.backend_args = dict(backend=ATOMIC_BACKEND)
        self._batches = 0
        self._resume_state: dict | None = None
        self._failure: OSError | None = None
        self._saves_best = False
        self.saved_iteration = -1

    def before_train(self, runner: Any) -> None:
        """Prepare the folder and remove unfinished files of killed runs."""
        if '://' in str(self.out_dir) and self.backend_args == dict(backend=ATOMIC_BACKEND):
            self.backend_args = None
        super().before_train(runner)
        self._local = isinstance(self.file_backend, LocalBackend)
        if self._local and is_main_process():
            remove_unfinished_files(self.out_dir)
        self.file_backend = _DeferredRemoval(self.file_backend)
        resumed = getattr(runner.train_loop, 'resume_state', None) or {}
        if resumed:
            self.saved_iteration = runner.iter
            self.last_ckpt = runner.message_hub.get_info('last_ckpt')
        if is_main_process():
            self.file_backend.pending += resumed.get('outdated', [])
            self.file_backend.flush(keep=_best_paths(self))

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Save by iterations, with the position in the epoch."""
        self._batches = batch_idx + 1
        super().after_train_iter(runner, batch_idx, data_batch, outputs)

    def after_train_epoch(self, runner: Any) -> None:
        """Save by epochs."""
        self._batches = 0
        super().after_train_epoch(runner)

    def after_train(self, runner: Any) -> None:
        """Publish the final files; raises ``OSError`` if the last checkpoint could not be written."""
        if self._failure is not None:
            raise OSError('The training is finished, but its last checkpoint could not be written '
                          f'({self._failure}): free space in {self.out_dir} and run again with --resume, which '
                          'repeats the training since the last written one.')
        super().after_train(runner)

    def save_interrupted(self, runner: Any, iteration: int, batches: int) -> None:
        """Save between two iterations, to resume there, unless it is done. All processes must call it together.

        Args:
            runner: The runner.
            iteration: Number of finished iterations of the whole training.
            batches: Number of finished iterations of the current epoch.
        """
        saved = [self.saved_iteration]
        # The main process knows whether the file could be written.
        broadcast_object_list(saved)
        if saved[0] == iteration:
            return
        self._batches = batches
        name = Path(self.filename_tmpl.format(runner.epoch if self.by_epoch else iteration))
        mark = f'_iter_{iteration}' if self.by_epoch else '_interrupted'
        with self._transaction(runner):
            self._write(runner, f'{name.stem}{mark}{name.suffix}', dict(epoch=runner.epoch, iter=iteration))

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Add the resume state to checkpoints of training (best ones have no optimizer and need none)."""
        if 'optimizer' in checkpoint and self._resume_state is not None:
            checkpoint['resume_state'] = self._resume_state

    def _save_checkpoint(self, runner: Any) -> None:
        with self._transaction(runner):
            super()._save_checkpoint(runner)

    def _save_best_checkpoint(self, runner: Any, metrics: dict) -> None:
        self._batches = 0
        # The checkpoint that is written again below already knows of this validation.
        runner.train_loop.validated_at = runner.iter
        self._saves_best = True
        with self._transaction(runner):
            super()._save_best_checkpoint(runner, metrics)
        self._saves_best = False

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict) -> None:
        """Replace mmengine's method, which removes the old files first and writes ``last_checkpoint`` in place."""
        if self._saves_best and self.saved_iteration == meta['iter'] and _is_interrupted(self.last_ckpt):
            # The state before the validation is written again, with the validation.
            self._write(runner, Path(self.last_ckpt).name, meta)
            return
        if self.max_keep_ckpts > 0 and (not self.keep_ckpt_ids or self.keep_ckpt_ids[-1] != step):
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated = self.filename_tmpl.format(self.keep_ckpt_ids.popleft())
                self._remove_later(self.file_backend.join_path(self.out_dir, outdated))
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        self._write(runner, self.filename_tmpl.format(step), meta)

    def _write(self, runner: Any, name: str, meta: dict) -> None:
        if self._local:
            for path in Path(self.out_dir).glob('*.pth'):
                if _is_interrupted(path) and () < checkpoint_step(path) < checkpoint_step(name):
                    self._remove_later(str(path))
        self._resume_state = gather_resume_state(runner, self._batches)
        # A kill between writing and removing leaves outdated files; the resumed run removes them.
        self._resume_state['outdated'] = list(self.file_backend.pending)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(self.out_dir, name, self.file_client_args, save_optimizer=self.save_optimizer,
                               save_param_scheduler=self.save_param_scheduler, meta=meta, by_epoch=self.by_epoch,
                               backend_args=self.backend_args)
        if is_main_process():
            atomic_write(Path(runner.work_dir) / 'last_checkpoint', self.last_ckpt.encode())
        self._failure = None
        self.saved_iteration = meta['iter']

    @master_only
    def _publish_model(self, runner: Any, ckpt_path: str) -> None:
        """Write the ``published_keys`` to ``<name>-<first 8 digits of the file's SHA-256>.pth``, atomically."""
        if not self._local:
            super()._publish_model(runner, ckpt_path)
            return
        checkpoint = load_checkpoint_file(ckpt_path)
        buffer = io.BytesIO()
        torch.save({key: value for key, value in checkpoint.items() if key in self.published_keys}, buffer)
        digest = hashlib.sha256(buffer.getvalue()).hexdigest()[:8]
        path = Path(ckpt_path).with_name(f'{Path(ckpt_path).stem}-{digest}.pth')
        atomic_write(path, buffer.getvalue())
        runner.logger.info(f'The checkpoint {ckpt_path} is published as {path}.')

    def _remove_later(self, path: str) -> None:
        if is_main_process():
            self.file_backend.remove(path)

    @contextmanager
    def _transaction(self, runner: Any) -> Iterator[None]:
        """Remove outdated files after all new ones are written; where one cannot be written, put the books back."""
        books = {name: copy.copy(getattr(self, name)) for name in _BOOKS if hasattr(self, name)}
        infos = _file_infos(runner.message_hub)
        try:
            yield
        except OSError as error:
            self._failure = error
            self.file_backend.pending.clear()
            for name, value in books.items():
                setattr(self, name, value)
            for name in _file_infos(runner.message_hub):
                runner.message_hub.pop_info(name)
            for name, value in infos.items():
                runner.message_hub.update_info(name, value)
            runner.logger.error(f'A checkpoint could not be written to {self.out_dir} ({error}): the previous one '
                                f'({self.last_ckpt}) stays and the training goes on; free space there, saving is '
                                'tried again at the next interval.')
        else:
            self.file_backend.flush(keep=[self.last_ckpt, *_best_paths(self)])


class _DeferredRemoval:
    """A file backend whose ``remove`` waits until ``flush``."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.pending: list[str] = []

    def remove(self, path: str) -> None:
        self.pending.append(path)

    def flush(self, keep: list) -> None:
        for path in self.pending:
            if path not in keep and self._backend.isfile(path):
                self._backend.remove(path)
        self.pending.clear()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


def _is_interrupted(path: str | Path) -> bool:
    return any(Path(path).match(pattern) for pattern in _INTERRUPTED)


def _best_paths(hook: CheckpointHook) -> list:
    return [getattr(hook, 'best_ckpt_path', None), *getattr(hook, 'best_ckpt_path_dict', {}).values()]


def _file_infos(hub: Any) -> dict:
    return {key: copy.copy(value) for key, value in hub.runtime_info.items() if key.startswith(_INFO_PREFIXES)}
