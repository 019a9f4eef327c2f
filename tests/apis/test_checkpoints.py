import pytest
import torch
from torch import nn

from mmavs.apis.checkpoints import check_device, load_weights
from mmavs.utils.safe_load import UnsafeCheckpointError


def save(path, content):
    torch.save(content, path)
    return path


def test_weights_and_class_names_are_loaded(tmp_path):
    source, model = nn.Linear(2, 3), nn.Linear(2, 3)
    path = save(tmp_path / 'a.pth', dict(
        state_dict={f'module.{name}': value for name, value in source.state_dict().items()},
        meta=dict(dataset_meta=dict(classes=['background', 'dog']))))
    load_weights(model, path)
    assert torch.equal(model.weight, source.weight)
    assert model.dataset_meta == dict(classes=['background', 'dog'])


def test_bare_state_dict(tmp_path):
    source, model = nn.Linear(2, 3), nn.Linear(2, 3)
    load_weights(model, save(tmp_path / 'a.pth', source.state_dict()))
    assert torch.equal(model.bias, source.bias)


@pytest.mark.parametrize(('change', 'message'), [
    (lambda state: state.pop('bias'), r'does not fit the model: it lacks bias; check'),
    (lambda state: state.update(extra=torch.ones(1), more=torch.ones(1)), r'it has unknown extra and 1 more'),
    (lambda state: state.update(weight=torch.ones(3, 4)), r'it has another shape of weight'),
    (lambda state: state.clear(), r'a\.pth holds no weights'),
])
def test_weights_of_another_model_are_refused_as_a_whole(tmp_path, change, message):
    state, model = nn.Linear(2, 3).state_dict(), nn.Linear(2, 3)
    before = model.weight.clone()
    change(state)
    with pytest.raises(ValueError, match=message):
        load_weights(model, save(tmp_path / 'a.pth', dict(state_dict=state)))
    assert torch.equal(model.weight, before)


class Harmful:
    def __reduce__(self):
        return print, ('this must not run',)


def test_code_in_a_checkpoint_does_not_run(tmp_path, capsys):
    path = save(tmp_path / 'a.pth', dict(state_dict=nn.Linear(2, 3).state_dict(), extra=Harmful()))
    with pytest.raises(UnsafeCheckpointError):
        load_weights(nn.Linear(2, 3), path)
    assert capsys.readouterr().out == ''
    load_weights(nn.Linear(2, 3), path, trust=True)
    assert 'this must not run' in capsys.readouterr().out


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none\.pth'):
        load_weights(nn.Linear(2, 3), tmp_path / 'none.pth')


def test_devices():
    check_device(None)
    check_device('cpu')
    with pytest.raises(ValueError, match=r"device='gpu' cannot be used here .*; pass device='cpu'"):
        check_device('gpu')
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device='cuda:0' cannot be used here"):
            check_device('cuda:0')
