"""A report of 60 clips and a browser to look at it."""

import pytest

from .samples import scored, write_many
from .webdriver import Browser

NUMBER = 60


@pytest.fixture(scope='session')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('report')
    write_many(folder, NUMBER)
    return folder


@pytest.fixture(scope='session')
def clips():
    return [scored(f'clip_{index:03d}', float(index * 37 % 100), float(index * 59 % 100), ('cat', 'dog')[index % 2])
            for index in range(NUMBER)]


@pytest.fixture(scope='session')
def window():
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(window, folder):
    window.open(folder / 'index.html')
    yield window
    assert [entry for entry in window.log() if entry['level'] == 'SEVERE'] == []
