"""AdamW at a constant learning rate, as the paper (section V-B): no warm-up, no schedule, no clipping."""

optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=2e-5, weight_decay=0.01))
param_scheduler = []

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=60, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=True),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='mmavs.AtomicCheckpointHook', interval=1, max_keep_ckpts=2, save_best='avs/J', rule='greater'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='mmavs.AVSVisualizationHook', draw=False),
    # Save and leave on SIGTERM or Ctrl-C; --resume goes on in mid-epoch.
    preemption=dict(type='mmavs.PreemptionHook'),
    # 'skip' leaves the update out instead; either way the clips of the batch are listed in the work folder.
    invalid_loss=dict(type='mmavs.InvalidLossHook', action='stop'),
    # Counts the clips that datasets with on_error='skip' leave out.
    skipped_clips=dict(type='mmavs.SkippedClipsHook'),
    provenance=dict(type='mmavs.ProvenanceHook'))
custom_hooks = []
