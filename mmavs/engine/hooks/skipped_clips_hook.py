"""How many clips a run has done without, and which."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook

from mmavs.registry import HOOKS
from mmavs.utils.skipped_clips import RECORD_VARIABLE, read_skips, record_skip
from mmavs.utils.weight_fit import shortened

RECORD_NAME = 'skipped_clips.jsonl'


@HOOKS.register_module()
class SkippedClipsHook(Hook):
    """Count the clips that datasets with ``on_error='skip'`` leave out.

    Training clips are listed in ``<work_dir>/skipped_clips.jsonl``, each once, whichever worker or process met it:
    video_id, split and reason. Their number and names are logged at the end of each epoch, those of validation and test
    clips after the scores that they are missing from. A resumed run goes on with the file.
    """

    priority = 'LOW'

    def before_train(self, runner: Any) -> None:
        """Begin the file, with the clips that were left out when the dataset was built."""
        self._path = Path(runner.work_dir) / RECORD_NAME
        if is_main_process() and not runner._resume:
            self._path.unlink(missing_ok=True)
        # No worker of another process may write before.
        barrier()
        os.environ[RECORD_VARIABLE] = str(self._path)
        dataset = runner.train_dataloader.dataset
        if is_main_process():
            for video_id, reason in getattr(dataset, 'skipped', ()):
                record_skip(video_id, dataset.split, reason)

    def after_train_epoch(self, runner: Any) -> None:
        """Log what training did without so far."""
        _log(runner, read_skips(self._path, 'train'), f'train, epoch {runner.epoch + 1}',
             where=f', listed with the reasons in {self._path}')

    def after_train(self, runner: Any) -> None:
        """Close the file."""
        os.environ.pop(RECORD_VARIABLE, None)

    def after_val_epoch(self, runner: Any, metrics: dict | None = None) -> None:
        """Log what the scores of a validation are without."""
        _log(runner, _names(runner.val_dataloader.dataset), f'val, epoch {runner.epoch}')

    def after_test_epoch(self, runner: Any, metrics: dict | None = None) -> None:
        """Log what the scores of a test are without."""
        _log(runner, _names(runner.test_dataloader.dataset), 'test')


def _names(dataset: Any) -> list[str]:
    return [name for name, _ in getattr(dataset, 'skipped', ())]


def _log(runner: Any, names: Iterable[str], when: str, where: str = '') -> None:
    """Warn; ``when`` makes the sentence another one each time, since mmengine drops warnings that it has seen."""
    names = list(names)
    if names:
        clips = '1 clip is' if len(names) == 1 else f'{len(names)} clips are'
        runner.logger.warning(f'{when}: {clips} left out so far ({shortened(names, 10)}){where}.')
