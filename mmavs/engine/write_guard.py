"""Records that a run can do without: where they cannot be written, the run goes on."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.logging import print_log


class WriteGuard:
    """Turn an ``OSError`` (a full disk, say) into one warning. Use it as ``with guard(): ...``.

    Args:
        what: What is written, the beginning of the warning, e.g. ``'The scalars of the log'``.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._warned = False

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Run the enclosed writing."""
        try:
            yield
        except OSError as error:
            if not self._warned:
                self._warned = True
                print_log(f'{self.what} could not be written ({error}): the run goes on without; free space there. '
                          'This is said once.', 'current', logging.WARNING)
