"""Which of mmseg's ResNet-50 takes torchvision's file as it is: ``mmseg.ResNet``, which our configs use."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmseg.models.backbones import ResNetV1c

from mmavs.registry import MODELS

CONFIGS = Path(__file__).parents[3] / 'configs'


def torchvision_resnet50():
    """Names and shapes of torchvision's ResNet-50 state dict, without its classification layer ``fc``."""
    shapes = {}

    def add(conv, norm, outputs, inputs, kernel):
        shapes[f'{conv}.weight'] = (outputs, inputs, kernel, kernel)
        shapes.update({f'{norm}.{name}': (outputs, ) for name in ('weight', 'bias', 'running_mean', 'running_var')})
        shapes[f'{norm}.num_batches_tracked'] = ()

    add('conv1', 'bn1', 64, 3, 7)
    inputs = 64
    for stage, depth in enumerate((3, 4, 6, 3), start=1):
        width = 32 * 2**stage
        for block in range(depth):
            root = f'layer{stage}.{block}'
            add(f'{root}.conv1', f'{root}.bn1', width, inputs, 1)
            add(f'{root}.conv2', f'{root}.bn2', width, width, 3)
            add(f'{root}.conv3', f'{root}.bn3', 4 * width, width, 1)
            if block == 0:
                add(f'{root}.downsample.0', f'{root}.downsample.1', 4 * width, inputs, 1)
            inputs = 4 * width
    return shapes


def shapes_of(model):
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def test_reference_has_the_published_size():
    count = sum(torch.Size(shape).numel() for name, shape in torchvision_resnet50().items()
                if not name.endswith(('running_mean', 'running_var', 'num_batches_tracked')))
    assert count + 2048 * 1000 + 1000 == 25_557_032


def test_resnet_of_our_config_takes_the_file():
    backbone = Config.fromfile(CONFIGS / '_base_/models/avs_mamba_r50.py').model.backbone
    with torch.device('meta'):
        model = MODELS.build({**backbone, 'init_cfg': None})
    assert shapes_of(model) == torchvision_resnet50()


def test_file_loads_through_init_cfg(tmp_path):
    torch.manual_seed(0)
    weights = {name: torch.rand(shape) if shape else torch.tensor(0) for name, shape in torchvision_resnet50().items()}
    torch.save(weights | {'fc.weight': torch.zeros(1000, 2048), 'fc.bias': torch.zeros(1000)}, tmp_path / 'r50.pth')
    model = MODELS.build(dict(type='mmseg.ResNet', depth=50, style='pytorch',
                              init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'r50.pth'))))
    model.init_weights()
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name]), name


@pytest.mark.parametrize('missing', ['stem.0.weight', 'stem.3.weight', 'stem.6.weight'])
def test_resnet_v1c_does_not(missing):
    with torch.device('meta'):
        names = ResNetV1c(depth=50).state_dict()
    assert missing in names
    assert missing not in torchvision_resnet50()
