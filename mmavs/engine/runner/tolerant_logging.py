"""Logs that cannot be written, on a full disk say, do not end a run."""

import logging
import sys
from typing import Any

from mmengine.hooks import LoggerHook

from mmavs.engine.write_guard import WriteGuard


class TolerantLoggerHook(LoggerHook):
    """mmengine's ``LoggerHook``; scalars that cannot be written cost one warning and not the training.

    Arguments are those of :class:`mmengine.hooks.LoggerHook`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._guard = WriteGuard('The scalars of the log')

    def after_train_iter(self, *args: Any, **kwargs: Any) -> None:
        """Log a training iteration."""
        with self._guard():
            super().after_train_iter(*args, **kwargs)

    def after_val_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Log the scores of a validation."""
        with self._guard():
            super().after_val_epoch(*args, **kwargs)

    def after_test_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Log the scores of a test."""
        with self._guard():
            super().after_test_epoch(*args, **kwargs)


def tolerate_unwritable_files(logger: logging.Logger) -> None:
    """Let a logger say once, on standard error, that its file cannot be written, instead of a traceback per line."""
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handleError = _SaidOnce(handler.baseFilename)


class _SaidOnce:
    """Replaces ``Handler.handleError``, which is called inside of an ``except`` clause."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._said = False

    def __call__(self, record: logging.LogRecord) -> None:
        if not self._said:
            self._said = True
            print(f'The log file {self._path} could not be written ({sys.exc_info()[1]}): the run goes on; free space '
                  'there. This is said once.', file=sys.stderr, flush=True)
