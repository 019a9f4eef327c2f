import pytest
import torch

from mmavs.utils.safe_load import load_pretrained, load_weights, pretrained_from_init_cfg


def test_load_pretrained_needs_every_name(tmp_path):
    path = tmp_path / 'linear.pth'
    module = torch.nn.Linear(2, 3)
    torch.save(dict(weight=torch.full((3, 2), 7.0)), path)
    before = module.weight.clone()
    with pytest.raises(ValueError, match=r'linear\.pth does not fit Linear: it lacks bias\.'):
        load_pretrained(module, path)
    assert torch.equal(module.weight, before), 'a refused file must leave the module untouched'
    torch.save(dict(weight=torch.full((3, 2), 7.0), bias=torch.zeros(3), head=torch.zeros(1)), path)
    with pytest.raises(ValueError, match='has unknown head'):
        load_pretrained(module, path)
    load_pretrained(module, path, ignore=('head', ))
    assert module.weight.eq(7).all()


def test_pretrained_from_init_cfg():
    pretrained = dict(type='Pretrained', checkpoint='a.pth')
    assert pretrained_from_init_cfg(None) is None
    assert pretrained_from_init_cfg(dict(type='Kaiming')) is None
    assert pretrained_from_init_cfg(pretrained) == ('a.pth', '')
    assert pretrained_from_init_cfg([dict(type='Kaiming'), pretrained | dict(prefix='b.')]) == ('a.pth', 'b.')
    with pytest.raises(ValueError, match='needs checkpoint='):
        pretrained_from_init_cfg(dict(type='Pretrained'))


def test_weights_and_class_names_are_loaded(tmp_path):
    source, model = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)
    torch.save(dict(state_dict={f'module.{name}': value for name, value in source.state_dict().items()},
                    meta=dict(dataset_meta=dict(classes=['background', 'dog']))), tmp_path / 'a.pth')
    load_weights(model, tmp_path / 'a.pth')
    assert torch.equal(model.weight, source.weight)
    assert model.dataset_meta == dict(classes=['background', 'dog'])
    torch.save(torch.nn.Linear(2, 3).requires_grad_(False).state_dict(), tmp_path / 'bare.pth')
    load_weights(model, tmp_path / 'bare.pth')
    assert not torch.equal(model.weight, source.weight)


@pytest.mark.parametrize(('change', 'message'), [
    (lambda state: state.pop('bias'), r'does not fit the model: it lacks bias; check that it was trained with this'),
    (lambda state: state.update(extra=torch.ones(1), more=torch.ones(1)), r'it has unknown extra, more; check'),
    (lambda state: state.update(weight=torch.ones(3, 4)), r'it has weight \(3, 4\) instead of \(3, 2\); check'),
    (lambda state: state.clear(), r'a\.pth holds no weights; give a checkpoint of tools/train.py\.'),
])
def test_weights_of_another_model_are_refused_as_a_whole(tmp_path, change, message):
    state, model = torch.nn.Linear(2, 3).state_dict(), torch.nn.Linear(2, 3)
    before = model.weight.clone()
    change(state)
    torch.save(dict(state_dict=state), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=message):
        load_weights(model, tmp_path / 'a.pth')
    assert torch.equal(model.weight, before)
