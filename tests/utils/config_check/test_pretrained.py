"""The file of a visual backbone of another package is there and fits, before a training begins."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmavs.registry import MODELS
from mmavs.utils.config_check import ConfigMistakeError, check_config, check_pretrained
from mmavs.utils.safe_load import UnsafeCheckpointError
from tests.datasets.damage import Touch
from tests.tools.micro import ROOT

RESNET = dict(type='mmseg.ResNet', depth=18, base_channels=4, num_stages=4, strides=(1, 2, 2, 2),
              dilations=(1, 1, 1, 1), out_indices=(0, 1, 2, 3))


def config(path: object, **changes: object) -> dict:
    init_cfg = dict(type='Pretrained', checkpoint=str(path))
    return dict(model=dict(type='mmavs.AVSegmentor', backbone=dict(RESNET, **{'init_cfg': init_cfg, **changes})))


@pytest.fixture
def weights() -> dict:
    init_default_scope('mmseg')
    return MODELS.build(dict(RESNET)).state_dict()


def test_a_missing_file_names_a_source_and_the_way_without(tmp_path):
    path = tmp_path / 'resnet50.pth'
    with pytest.raises(FileNotFoundError) as caught:
        check_pretrained(config(path))
    assert str(caught.value) == (
        f'The pretrained weights of mmseg.ResNet are not at {path}. Get them as the README says ("Pretrained weights"; '
        "for ResNet-50 it is torchvision's ImageNet file). To start from random weights, set "
        'model.backbone.init_cfg=None in the config.')


@pytest.mark.parametrize('wrap', [lambda w: w, lambda w: dict(state_dict=w),
                                  lambda w: dict(w, **{'fc.bias': torch.zeros(9)}),
                                  lambda w: {k: v for k, v in w.items() if 'num_batches' not in k}])
def test_files_that_fit(tmp_path, weights, wrap):
    torch.save(wrap(weights), tmp_path / 'w.pth')
    check_pretrained(config(tmp_path / 'w.pth'))


def test_a_prefix_is_taken_off(tmp_path, weights):
    torch.save({f'backbone.{name}': value for name, value in weights.items()}, tmp_path / 'w.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'w.pth'), prefix='backbone.')
    check_pretrained(config(None, init_cfg=init_cfg))
    with pytest.raises(ConfigMistakeError, match='does not fit'):
        check_pretrained(config(tmp_path / 'w.pth'))


def test_a_file_of_another_architecture_is_refused(tmp_path, weights):
    del weights['layer2.0.conv1.weight']
    weights['layer3.0.bn1.weight'] = torch.zeros(5)
    torch.save(weights, tmp_path / 'w.pth')
    with pytest.raises(ConfigMistakeError, match=(
            r'w\.pth does not fit model\.backbone \(mmseg\.ResNet\): 2 of its weights are missing .* '
            r'the first is layer2\.0\.conv1\.weight \(8, 4, 3, 3\)')):
        check_pretrained(config(tmp_path / 'w.pth'))


def test_a_damaged_or_hostile_file(tmp_path):
    (tmp_path / 'w.pth').write_bytes(b'no weights')
    with pytest.raises(ValueError, match=r'w\.pth \(10 bytes\) is truncated or no checkpoint'):
        check_pretrained(config(tmp_path / 'w.pth'))
    torch.save(Touch(tmp_path / 'pwned'), tmp_path / 'w.pth')
    with pytest.raises(UnsafeCheckpointError):
        check_pretrained(config(tmp_path / 'w.pth'))
    assert not (tmp_path / 'pwned').exists()


@pytest.mark.parametrize('part', [
    {}, dict(model=None), config('x', init_cfg=None), config('https://example.org/w.pth'), config('torchvision://resnet50'),
    dict(model=dict(backbone=dict(type='mmavs.PVTv2', init_cfg=dict(type='Pretrained', checkpoint='gone.pth'))))])
def test_nothing_to_look_at(part):
    check_pretrained(part)


def test_testing_needs_no_file():
    check_config(Config.fromfile(ROOT / 'configs/avs_mamba/r50_ms3.py'))
