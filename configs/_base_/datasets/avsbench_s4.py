"""AVSBench S4: one sound source a clip; only the first frame is labelled in training."""

# Often changed: where the data is, the input size, clips per batch.
data_root = '{{$MMAVS_DATA_ROOT:data/avsbench}}'
input_size = (512, 512)
batch_size = 2
num_workers = 2

# Rarely changed.
dataset_type = 'mmavs.AVSBenchDataset'
train_pipeline = [
    dict(type='mmavs.LoadClipFrames'),
    dict(type='mmavs.LoadClipMasks'),
    dict(type='mmavs.ClipRandomFlip', prob=0.5),
    dict(type='mmavs.ClipPhotoMetricDistortion'),
    dict(type='mmavs.ClipRandomResizedCrop', scale=input_size),
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
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type=dataset_type, subset='s4', split='train', data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=num_workers,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type=dataset_type, subset='s4', split='val', data_root=data_root, pipeline=test_pipeline))
test_dataloader = dict(
    batch_size=1,
    num_workers=num_workers,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type=dataset_type, subset='s4', split='test', data_root=data_root, pipeline=test_pipeline))

val_evaluator = dict(type='mmavs.AVSMetric', preset='avsbench')
test_evaluator = val_evaluator
