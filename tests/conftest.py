from collections import OrderedDict

import pytest
from mmengine.registry import DefaultScope


@pytest.fixture(scope='module', autouse=True)
def default_scope_of_the_file():
    """A runner makes the default scope of its config that of the process: the next test file starts without it."""
    before = OrderedDict(DefaultScope._instance_dict)
    yield
    DefaultScope._instance_dict = before
