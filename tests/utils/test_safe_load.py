import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader, load_checkpoint

from mmavs.utils import safe_load
from mmavs.utils.safe_load import (
    UnsafeCheckpointError,
    load_checkpoint_file,
    load_pretrained,
    load_weights,
    read_state_dict,
    trusts_checkpoints,
    use_safe_checkpoint_loading,
)


class RunsCode:
    """When it is unpickled the ordinary way, it creates a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path, )


class Custom:
    """A class of somebody's training script; harmless, but not known to be."""


class ReachesThroughGetattr:
    """Tries to get at a function by way of the stand-in for getattr."""

    def __init__(self, owner, name):
        self.owner, self.name = owner, name

    def __reduce__(self):
        return getattr, (self.owner, self.name)


@pytest.fixture
def restored_loaders(monkeypatch):
    schemes = dict(CheckpointLoader._schemes)
    monkeypatch.setattr(safe_load, '_CHOICE', dict(trust=False))
    yield
    CheckpointLoader._schemes = type(CheckpointLoader._schemes)(schemes)


def mm_checkpoint():
    """What mmengine's runner writes beside the weights."""
    hub = MessageHub.get_instance('test_safe_load')
    for value in (1.0, 2.0, 4.0):
        hub.update_scalar('train/loss', value)
    hub.update_info('iter', 3)
    return dict(
        meta=dict(epoch=1, iter=3, seed=np.int64(5), time='now'), state_dict={'weight': torch.ones(2)},
        message_hub=hub.state_dict(),
        optimizer=dict(param_groups=[dict(lr=np.float64(0.1), betas=(0.9, 0.999))]),
        history=np.arange(3.0), flags=np.array([True, False]), window=slice(0, 2))


@pytest.mark.parametrize('zipped', [True, False])
def test_mmengine_checkpoint_opens(tmp_path, zipped):
    path = tmp_path / 'epoch_1.pth'
    torch.save(mm_checkpoint(), path, _use_new_zipfile_serialization=zipped)
    content = load_checkpoint_file(path)
    assert torch.equal(content['state_dict']['weight'], torch.ones(2))
    buffer = content['message_hub']['log_scalars']['train/loss']
    assert isinstance(buffer, HistoryBuffer)
    assert buffer.mean() == pytest.approx(7 / 3)
    assert buffer.statistics('max') == 4.0
    assert content['meta']['seed'] == 5
    assert content['history'].tolist() == [0.0, 1.0, 2.0]
    assert content['optimizer']['param_groups'][0]['lr'] == 0.1
    assert load_checkpoint_file(path, map_location='meta')['state_dict']['weight'].is_meta


@pytest.mark.parametrize('write', [
    lambda content, path: torch.save(content, path),
    lambda content, path: torch.save(content, path, _use_new_zipfile_serialization=False),
    lambda content, path: path.write_bytes(pickle.dumps(content, protocol=2)),
    lambda content, path: path.write_bytes(pickle.dumps(content, protocol=0)),
], ids=['zip', 'legacy', 'bare pickle', 'text pickle'])
def test_code_is_not_run(tmp_path, write):
    path, target = tmp_path / 'evil.pth', tmp_path / 'created'
    write(dict(state_dict={}, extra=RunsCode(target)), path)
    with pytest.raises(ValueError, match=r'evil\.pth'):
        load_checkpoint_file(path)
    assert not target.exists()


def test_refusal_names_type_path_and_way_out(tmp_path):
    path, target = tmp_path / 'evil.pth', tmp_path / 'created'
    torch.save(dict(extra=RunsCode(target)), path)
    with pytest.raises(UnsafeCheckpointError, match=r'evil\.pth was not opened.* posix\.mkdir,.*--trust-checkpoint'):
        load_checkpoint_file(path)
    load_checkpoint_file(path, trust=True)
    assert target.is_dir(), 'only trust=True may run it; this also shows that the attack is real'


def test_unknown_class_is_refused_by_name(tmp_path):
    torch.save(dict(cfg=Custom()), tmp_path / 'c.pth')
    with pytest.raises(UnsafeCheckpointError, match=r'type tests\.utils\.test_safe_load\.Custom'):
        load_checkpoint_file(tmp_path / 'c.pth')
    assert isinstance(load_checkpoint_file(tmp_path / 'c.pth', trust=True)['cfg'], Custom)


@pytest.mark.parametrize(('owner', 'name'), [(np.ndarray, 'tofile'), (np.ndarray, 'min'), (HistoryBuffer, '__init__')])
def test_getattr_is_not_open_to_checkpoints(tmp_path, owner, name):
    torch.save(dict(extra=ReachesThroughGetattr(owner, name)), tmp_path / 'g.pth')
    with pytest.raises(UnsafeCheckpointError, match=rf"getattr\({owner!r}, '{name}'\)"):
        load_checkpoint_file(tmp_path / 'g.pth')


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def denied(*arguments, **options):
        raise PermissionError(13, 'Permission denied')

    (tmp_path / 'c.pth').touch()
    monkeypatch.setattr(torch, 'load', denied)
    with pytest.raises(PermissionError, match=r'No permission to read the checkpoint .*c\.pth'):
        load_checkpoint_file(tmp_path / 'c.pth')


def test_allowance_ends_with_the_call(tmp_path):
    before = set(torch.serialization.get_safe_globals())
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals([Custom])
    try:
        torch.save(mm_checkpoint(), tmp_path / 'm.pth')
        load_checkpoint_file(tmp_path / 'm.pth')
        assert torch.serialization.get_safe_globals() == [Custom]
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(list(before))


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'No checkpoint file .*none\.pth\. Check the path'):
        load_checkpoint_file(tmp_path / 'none.pth')
    with pytest.raises(FileNotFoundError, match='No checkpoint file'):
        load_checkpoint_file(tmp_path)


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('share', [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_file(tmp_path, zipped, share):
    path = tmp_path / 'cut.pth'
    torch.save(dict(state_dict={'w': torch.randn(1000), 'v': torch.randn(1000)}), path,
               _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    path.write_bytes(data[:int(len(data) * share)])
    with pytest.raises(ValueError, match=rf'cut\.pth \({int(len(data) * share)} bytes\) is truncated or no checkpoint'):
        load_checkpoint_file(path)


@pytest.mark.parametrize('content', [b'<html>not found</html>', b'\x80\x02garbage', b'\x00' * 4096])
def test_not_a_checkpoint(tmp_path, content):
    (tmp_path / 'page.pth').write_bytes(content)
    with pytest.raises(ValueError, match=r'page\.pth .* is truncated or no checkpoint'):
        load_checkpoint_file(tmp_path / 'page.pth')


def test_other_zip_file(tmp_path):
    with zipfile.ZipFile(tmp_path / 'other.pth', 'w') as archive:
        archive.writestr('readme.txt', 'hello')
    with pytest.raises(ValueError, match=r'other\.pth .* is truncated or no checkpoint'):
        load_checkpoint_file(tmp_path / 'other.pth')


@pytest.mark.parametrize('wrap', [
    lambda weights: weights,
    lambda weights: dict(state_dict=weights, meta={}),
    lambda weights: dict(model=weights),
    lambda weights: {f'module.{name}': value for name, value in weights.items()},
], ids=['bare', 'state_dict', 'model', 'data parallel'])
def test_read_state_dict(tmp_path, wrap):
    torch.save(wrap({'backbone.w': torch.ones(1), 'neck.w': torch.zeros(1)}), tmp_path / 'w.pth')
    assert set(read_state_dict(tmp_path / 'w.pth')) == {'backbone.w', 'neck.w'}
    assert list(read_state_dict(tmp_path / 'w.pth', prefix='backbone.')) == ['w']
    assert list(read_state_dict(tmp_path / 'w.pth', prefix='backbone')) == ['w']
    with pytest.raises(ValueError, match=r'no weights whose names start with "head\."'):
        read_state_dict(tmp_path / 'w.pth', prefix='head.')


def test_read_state_dict_without_weights(tmp_path):
    torch.save([torch.ones(1)], tmp_path / 'list.pth')
    with pytest.raises(ValueError, match='holds a list where a dict of weights was expected'):
        read_state_dict(tmp_path / 'list.pth')


def test_mmengine_is_made_safe(tmp_path, restored_loaders):
    path, target = tmp_path / 'evil.pth', tmp_path / 'created'
    torch.save(dict(state_dict={'weight': torch.ones(3, 2), 'bias': torch.ones(3)}, extra=RunsCode(target)), path)
    use_safe_checkpoint_loading()
    with pytest.raises(UnsafeCheckpointError, match=r'posix\.mkdir'):
        load_checkpoint(torch.nn.Linear(2, 3), str(path))

    class Net(BaseModule):
        pass

    with pytest.raises(UnsafeCheckpointError, match=r'posix\.mkdir'):
        Net(init_cfg=dict(type='Pretrained', checkpoint=str(path))).init_weights()
    with pytest.raises(FileNotFoundError, match='No checkpoint file'):
        load_checkpoint(torch.nn.Linear(2, 3), str(tmp_path / 'absent.pth'))
    assert not target.exists()


@pytest.mark.parametrize('name', ['https://host/net.pth', 'torchvision://resnet50', 'open-mmlab://resnet50_v1c'])
def test_mmengine_urls_are_refused(name, restored_loaders):
    use_safe_checkpoint_loading()
    with pytest.raises(UnsafeCheckpointError, match=f'{name} is not a local file: download it first'):
        CheckpointLoader.load_checkpoint(name)


def test_mmengine_with_trust(tmp_path, restored_loaders):
    path, target = tmp_path / 'trusted.pth', tmp_path / 'created'
    torch.save(dict(state_dict={'weight': torch.ones(3, 2), 'bias': torch.ones(3)}, extra=RunsCode(target)), path)
    use_safe_checkpoint_loading(trust=True)
    module = torch.nn.Linear(2, 3)
    load_checkpoint(module, str(path))
    assert target.is_dir()
    assert module.weight.eq(1).all()


def test_the_choice_of_the_process_reaches_every_way_of_loading(tmp_path, restored_loaders):
    """A backbone's pretrained file, its bare weights and a whole model, without a flag of their own."""
    path = tmp_path / 'own.pth'
    ways = (load_checkpoint_file, read_state_dict, lambda path: load_pretrained(torch.nn.Linear(2, 3), path),
            lambda path: load_weights(torch.nn.Linear(2, 3), path))
    for number, load in enumerate(ways):
        target = tmp_path / str(number)
        torch.save(dict(state_dict=torch.nn.Linear(2, 3).state_dict(), extra=RunsCode(target)), path)
        use_safe_checkpoint_loading(trust=False)
        assert trusts_checkpoints() is False
        with pytest.raises(UnsafeCheckpointError, match='--trust-checkpoint'):
            load(path)
        assert not target.exists()
        use_safe_checkpoint_loading(trust=True)
        assert trusts_checkpoints() is True
        load(path)
        assert target.is_dir()


def test_a_flag_of_its_own_overrules_the_choice_of_the_process(tmp_path, restored_loaders):
    torch.save(dict(state_dict=torch.nn.Linear(2, 3).state_dict(), extra=RunsCode(tmp_path / 'x')), tmp_path / 'a.pth')
    use_safe_checkpoint_loading(trust=True)
    with pytest.raises(UnsafeCheckpointError):
        load_weights(torch.nn.Linear(2, 3), tmp_path / 'a.pth', trust=False)
    assert not (tmp_path / 'x').exists()
