import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.time_limit import time_limit


def test_what_is_quick_goes_on_undisturbed():
    before = signal.getsignal(signal.SIGALRM)
    with time_limit(0.3):
        pass
    time.sleep(0.5)
    assert signal.getsignal(signal.SIGALRM) is before


def test_a_loop_and_a_wait_are_interrupted():
    for hang in (lambda: time.sleep(60), lambda: [None for _ in iter(int, 1)]):
        begin = time.monotonic()
        with pytest.raises(pytest.fail.Exception, match=r'not finished after 0\.3 s'), time_limit(0.3):
            hang()
        assert time.monotonic() - begin < 30


def test_code_that_catches_errors_is_interrupted_too():
    def hang():
        while True:
            try:
                time.sleep(60)
            except Exception:
                continue

    with pytest.raises(pytest.fail.Exception), time_limit(0.3):
        hang()


def test_a_library_that_never_comes_back_ends_the_process():
    # With its alarm blocked, the process is as deaf as inside a library.
    script = ('import signal, time\nfrom tests.time_limit import time_limit\n'
              'signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\n'
              'with time_limit(0.2, grace=0.2):\n    time.sleep(300)\n')
    done = subprocess.run([sys.executable, '-c', script], cwd=Path(__file__).resolve().parents[1], capture_output=True,
                          text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert 'Timeout' in done.stderr
    assert 'line 5 in <module>' in done.stderr
