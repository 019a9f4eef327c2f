"""A config in mmengine's pure Python style, whose types are imported classes, through the tools."""

import json

from .micro import generate_data, run_tool

CONFIG = '''
from mmengine.dataset import DefaultSampler
from mmengine.hooks import LoggerHook
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, TestLoop, ValLoop
from mmengine.visualization import LocalVisBackend
from mmseg.models import ResNet
from torch.optim import SGD

from mmavs import (AVDataPreprocessor, AVSBenchDataset, AVSegmentor, AVSMetric, CIPPixelDecoder, LogMelSpectrogram,
                   MADHead, MTENeck, PackAVSInputs, VGGish)
from mmavs.datasets.transforms import ClipResize, LoadClipFrames, LoadClipMasks
from mmavs.engine.hooks import AtomicCheckpointHook, AVSVisualizationHook
from mmavs.models.losses import AVSDiceLoss
from mmavs.visualization import AVSLocalVisualizer

default_scope = None
model = dict(
    type=AVSegmentor,
    data_preprocessor=dict(type=AVDataPreprocessor),
    backbone=dict(type=ResNet, depth=18, base_channels=4, strides=(1, 2, 2, 2), dilations=(1, 1, 1, 1)),
    audio_backbone=dict(type=VGGish, stage_channels=(4, 4, 4, 4), fc_channels=(16, 16, 128), frozen=False),
    neck=dict(type=MTENeck, in_channels=(4, 8, 16, 32), out_channels=32, num_layers=1, num_orders=2, d_state=2),
    decode_head=dict(
        type=MADHead, in_channels=(32, 32, 32, 32), channels=32, num_layers=1, d_state=2, mlp_channels=16,
        fc_channels=(8, 4), pixel_decoder=dict(type=CIPPixelDecoder, channels=32, num_orders=2, d_state=2),
        loss_decode=dict(type=AVSDiceLoss)))
pipeline = [dict(type=LoadClipFrames), dict(type=ClipResize, scale=(32, 32)), dict(type=LoadClipMasks),
            dict(type=LogMelSpectrogram), dict(type=PackAVSInputs)]
test_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type=DefaultSampler, shuffle=False),
    dataset=dict(type=AVSBenchDataset, subset='ms3', split='test', data_root='DATA', pipeline=pipeline))
train_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type=DefaultSampler, shuffle=True),
    dataset=dict(type=AVSBenchDataset, subset='ms3', split='train', data_root='DATA', pipeline=[
        dict(type=LoadClipFrames), dict(type=LoadClipMasks), dict(type=ClipResize, scale=(32, 32)),
        dict(type=LogMelSpectrogram), dict(type=PackAVSInputs)]))
val_dataloader = test_dataloader
val_evaluator = dict(type=AVSMetric)
test_evaluator = dict(type=AVSMetric)
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=SGD, lr=0.01))
train_cfg = dict(type=EpochBasedTrainLoop, max_epochs=1)
val_cfg = dict(type=ValLoop)
test_cfg = dict(type=TestLoop)
default_hooks = dict(
    logger=dict(type=LoggerHook, interval=1), visualization=dict(type=AVSVisualizationHook),
    checkpoint=dict(type=AtomicCheckpointHook, interval=1, save_best='avs/J', rule='greater'))
visualizer = dict(type=AVSLocalVisualizer, vis_backends=[dict(type=LocalVisBackend)], name='visualizer')
'''


def test_train_test_and_count(tmp_path):
    config, work, out, show = (tmp_path / name for name in ('pure.py', 'work', 'results.json', 'show'))
    data = generate_data(tmp_path / 'data')
    config.write_text(CONFIG.replace('DATA', str(data)))
    for tool, *arguments in (
            ('train.py', config, '--work-dir', work, '--amp'),
            ('test.py', config, work / 'epoch_1.pth', '--work-dir', work / 'test', '--out', out, '--show-dir', show),
            ('analysis_tools/get_flops.py', config, '--shape', 32, '--frames', 2)):
        done = run_tool(tool, *arguments, data_root=data)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert len(json.loads(out.read_text())['clips']) == len(list(show.glob('*.png'))) == 3
    log = next(work.glob('*/*.log')).read_text()
    assert "type='mmavs.AutocastOptimWrapper'" in log
    assert 'TolerantLoggerHook' in log
