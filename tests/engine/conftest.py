"""What toy runs inside the test process need."""

import signal

import mmengine.runner.runner
import pytest
import yapf.yapflib.yapf_api
from mmengine.runner import CheckpointLoader

from mmavs.utils import safe_load


@pytest.fixture
def toy_runs(monkeypatch):
    """Toy runs without slow descriptions of machine and config; process-wide settings are put back afterwards."""
    monkeypatch.setattr(mmengine.runner.runner, 'collect_env', dict)
    monkeypatch.setattr(yapf.yapflib.yapf_api, 'FormatCode', lambda text, **style: (text, True))
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    monkeypatch.setattr(safe_load, '_CHOICE', dict(trust=False))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
