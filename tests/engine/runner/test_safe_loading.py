import os
import pickle

import pytest
import torch
from mmengine.runner import load_checkpoint
from torch import nn

from mmavs.engine.runner import install_safe_loading
from mmavs.engine.runner.safe_loading import trusts_checkpoints
from mmavs.utils.safe_load import UnsafeCheckpointError

pytestmark = pytest.mark.usefixtures('toy_runs')


class Bomb:
    """Creates a folder when it is unpickled."""

    def __init__(self, path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.path, )


@pytest.fixture
def bomb(tmp_path):
    torch.save(dict(state_dict=nn.Linear(2, 2).state_dict(), meta=Bomb(tmp_path / 'exploded')), tmp_path / 'bomb.pth')
    return tmp_path / 'bomb.pth'


def test_mmengine_refuses_after_installation(bomb):
    install_safe_loading()
    assert trusts_checkpoints() is False
    with pytest.raises(UnsafeCheckpointError, match='--trust-checkpoint'):
        load_checkpoint(nn.Linear(2, 2), str(bomb))
    assert not (bomb.parent / 'exploded').exists()


def test_the_bomb_is_real_and_trust_lets_it_through(bomb):
    install_safe_loading(trust=True)
    assert trusts_checkpoints() is True
    load_checkpoint(nn.Linear(2, 2), str(bomb))
    assert (bomb.parent / 'exploded').is_dir()


def test_plain_pickle_is_refused_too(bomb):
    bomb.write_bytes(pickle.dumps(Bomb(bomb.parent / 'exploded')))
    install_safe_loading()
    with pytest.raises(ValueError, match=r'bomb\.pth'):
        load_checkpoint(nn.Linear(2, 2), str(bomb))
    assert not (bomb.parent / 'exploded').exists()


def test_default_is_safe(bomb):
    assert trusts_checkpoints() is False
    with pytest.raises(UnsafeCheckpointError):
        load_checkpoint(nn.Linear(2, 2), str(bomb))
