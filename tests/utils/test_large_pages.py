import os

import pytest

from mmavs.engine.launch import run_main
from mmavs.utils.large_pages import VARIABLE


@pytest.mark.parametrize(('before', 'after'), [(None, '1'), ('0', '0')])
def test_tools_ask_for_large_pages_unless_told_otherwise(before, after, monkeypatch):
    monkeypatch.setenv(VARIABLE, before or '')
    if before is None:
        monkeypatch.delenv(VARIABLE)
    seen = []
    assert run_main(lambda: seen.append(os.environ.get(VARIABLE)) or 0) == 0
    assert seen == [after]
