"""Films and inferencers that several tests use; the films are written once."""

import warnings

import pytest

from mmavs.apis import AVSInferencer

from .media import write_film
from .stand_in import config


@pytest.fixture(scope='session')
def film(tmp_path_factory):
    """Seven seconds, ten pictures a second, mono sound at 16 kHz."""
    return write_film(tmp_path_factory.mktemp('films') / 'clip.mp4', seconds=7)


@pytest.fixture(scope='session')
def silent_film(tmp_path_factory):
    return write_film(tmp_path_factory.mktemp('films') / 'mute.mp4', seconds=2, audio=None)


@pytest.fixture
def inferencer():
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return AVSInferencer(config(), device='cpu')


@pytest.fixture
def class_inferencer():
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return AVSInferencer(config(num_classes=71), device='cpu')
