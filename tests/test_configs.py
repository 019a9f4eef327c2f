"""Every config parses, builds and holds the paper's settings (section V-B)."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmavs.registry import MODELS

FOLDER = Path(__file__).parent.parent / 'configs' / 'avs_mamba'
PAPER = {  # name: (input size, clips per batch, epochs, classes, frozen epochs)
    'pvt_s4': (512, 2, 60, 1, 20), 'pvt_ms3': (512, 2, 120, 1, 20), 'pvt_avss': (224, 6, 50, 71, 0),
    'r50_s4': (512, 2, 60, 1, 20), 'r50_ms3': (512, 2, 120, 1, 20), 'r50_avss': (224, 6, 50, 71, 0),
}
# MODEL.md: everything outside the two backbones, PVT with one class; ResNet-50 differs in the input projections and
# 71 classes in the last convolution.
OUTSIDE_BACKBONES = {'pvt': 25_684_928, 'r50': 25_684_928 - 265_216 + 986_112}
SEVENTY_CLASSES_MORE = 334_208 - 331_968


def test_every_config_is_listed_in_the_metafile():
    text = (FOLDER / 'metafile.yml').read_text()
    names = {path.stem for path in FOLDER.glob('*.py')}
    assert set(PAPER) | {'tiny_shapes'} <= names
    assert all(f'Config: configs/avs_mamba/{name}.py' in text for name in [*PAPER, 'tiny_shapes'])


@pytest.mark.parametrize('name', PAPER)
def test_paper_settings(name):
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    size, batch, epochs, classes, frozen = PAPER[name]
    assert cfg.input_size == (size, size)
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.train_cfg.max_epochs == epochs
    assert cfg.model.decode_head.num_classes == classes
    assert cfg.optim_wrapper.optimizer == dict(type='AdamW', lr=2e-5, weight_decay=0.01)
    assert cfg.param_scheduler == []
    hooks = [hook for hook in cfg.custom_hooks if hook.type == 'mmavs.FreezeBackboneHook']
    assert [hook.end_epoch for hook in hooks] == ([frozen] if frozen else [])
    assert cfg.test_dataloader.dataset.split == 'test'
    assert cfg.val_dataloader.dataset.split == 'val'


@pytest.mark.parametrize('name', PAPER)
def test_parameter_count_outside_the_backbones(name):
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    init_default_scope('mmseg')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    count = sum(parameter.numel() for key, parameter in model.named_parameters()
                if not key.startswith(('backbone.', 'audio_backbone.')))
    backbone, subset = name.split('_')
    assert count == OUTSIDE_BACKBONES[backbone] + (SEVENTY_CLASSES_MORE if subset == 'avss' else 0)
