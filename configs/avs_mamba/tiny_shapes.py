"""A small AVS-Mamba for SoundingShapes, the generated benchmark: all parts of the paper, trained in minutes.

`make demo` generates the data and trains this. VGGish is narrow and trained along, from scratch. The visual backbone
starts from scratch too unless a file is named (`model.backbone.init_cfg`); the demo makes one with
`demo/pretrain_backbone.py`, as the paper starts from ImageNet.
"""

_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/avsbench_ms3.py',
    '../_base_/models/avs_mamba_pvt.py',
    '../_base_/schedules/adamw_avs.py',
]

# Often changed.
input_size = (96, 96)
channels = 64
d_state = 4
max_epochs = 8

# Rarely changed.
model = dict(
    backbone=dict(
        _delete_=True, type='mmseg.ResNet', depth=18, base_channels=16, num_stages=4, out_indices=(0, 1, 2, 3),
        strides=(1, 2, 2, 2), dilations=(1, 1, 1, 1), norm_cfg=dict(type='BN', requires_grad=True), style='pytorch'),
    audio_backbone=dict(
        stage_channels=(8, 16, 32, 32), fc_channels=(128, 128, 128), frozen=False, init_cfg=None),
    neck=dict(in_channels=(16, 32, 64, 128), out_channels=channels, num_layers=1, d_state=d_state, drop_path_rate=0.0,
              with_cp=False),
    decode_head=dict(
        in_channels=(channels, ) * 4, channels=channels, d_state=d_state, drop_path_rate=0.0, mlp_channels=256,
        fc_channels=(32, 16), with_cp=False,
        pixel_decoder=dict(channels=channels, d_state=d_state, drop_path_rate=0.0, with_cp=False)))

train_pipeline = [
    dict(type='mmavs.LoadClipFrames'),
    dict(type='mmavs.LoadClipMasks'),
    dict(type='mmavs.ClipRandomFlip', prob=0.5),
    dict(type='mmavs.ClipResize', scale=input_size),
    dict(type='mmavs.LogMelSpectrogram'),
    dict(type='mmavs.PackAVSInputs'),
]
test_pipeline = [
    dict(type='mmavs.LoadClipFrames'),
    dict(type='mmavs.ClipResize', scale=input_size),
    dict(type='mmavs.LoadClipMasks'),
    dict(type='mmavs.LogMelSpectrogram'),
    dict(type='mmavs.PackAVSInputs'),
]
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=8, dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(batch_size=8, dataset=dict(pipeline=test_pipeline))

optim_wrapper = dict(optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=5.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.02, by_epoch=True, begin=1, end=max_epochs,
         convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
default_hooks = dict(logger=dict(interval=10))
randomness = dict(seed=0)
