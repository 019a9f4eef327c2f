"""A limit on the time of a test, so that a hang fails it instead of stopping the whole run."""

import faulthandler
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def time_limit(seconds: float, grace: float = 30) -> Iterator[None]:
    """Fail the test when what runs inside takes too long; it must be the main thread.

    Python code is interrupted by an alarm. Where a library never comes back to Python to see it, the process ends
    ``grace`` seconds later, and the stacks of all threads are printed.

    Args:
        seconds: Limit.
        grace: Seconds from the alarm to the end of the process. Default 30.
    """
    def stop(*_):
        # No Exception: those are caught, as errors of damaged files, in the code that hangs.
        pytest.fail(f'not finished after {seconds:g} s')

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    # Not sys.stderr: while a test runs that is a buffer, lost when the process ends.
    faulthandler.dump_traceback_later(seconds + grace, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)
