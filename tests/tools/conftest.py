"""A generated data set and a small config, for the tools that need both."""

from pathlib import Path

import pytest

from mmavs.datasets.sounding_shapes import generate
from tests.tools.loading import ROOT

CONFIG = '''
_base_ = ['{root}/configs/_base_/default_runtime.py', '{root}/configs/_base_/datasets/avsbench_ms3.py',
          '{root}/configs/_base_/schedules/adamw_avs.py']
input_size = (64, 64)
pipeline = [dict(type='mmavs.LoadClipFrames'), dict(type='mmavs.ClipResize', scale=input_size),
            dict(type='mmavs.LoadClipMasks'), dict(type='mmavs.LogMelSpectrogram'), dict(type='mmavs.PackAVSInputs')]
train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root='{data}', pipeline=[
    dict(type='mmavs.LoadClipFrames'), dict(type='mmavs.LoadClipMasks'), dict(type='mmavs.ClipRandomFlip', prob=1.0),
    dict(type='mmavs.ClipResize', scale=input_size), dict(type='mmavs.LogMelSpectrogram'),
    dict(type='mmavs.PackAVSInputs')]))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root='{data}', pipeline=pipeline))
test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root='{data}', pipeline=pipeline))
model = dict(
    type='mmavs.AVSegmentor',
    data_preprocessor=dict(type='mmavs.AVDataPreprocessor'),
    backbone=dict(type='mmavs.PVTv2', arch='b0', drop_path_rate=0.0,
                  init_cfg=dict(type='Pretrained', checkpoint='a_file_that_is_not_there.pth')),
    audio_backbone=dict(type='mmavs.VGGish', stage_channels=(4, 4, 4, 4), fc_channels=(8, 8, 128), frozen=True),
    neck=dict(type='mmavs.MTENeck', in_channels=(32, 64, 160, 256), out_channels=32, num_layers=1, num_orders=2,
              d_state=2),
    decode_head=dict(
        type='mmavs.MADHead', in_channels=(32, ) * 4, channels=32, num_layers=1, mlp_channels=8, fc_channels=(8, 8),
        d_state=2, pixel_decoder=dict(type='mmavs.CIPPixelDecoder', channels=32, num_orders=2, d_state=2)))
'''


@pytest.fixture(scope='session')
def data_root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('shapes')
    generate(str(root), 'ms3', clips=dict(train=2, val=1, test=2), seed=0, image_size=64, workers=0)
    return root


@pytest.fixture(scope='session')
def small_config(data_root) -> str:
    """Path of a config with the pyramid of AVS-Mamba in small."""
    path = data_root / 'small.py'
    path.write_text(CONFIG.format(root=ROOT, data=data_root))
    return str(path)
