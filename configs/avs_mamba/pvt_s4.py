"""AVS-Mamba, PVTv2-b5, AVSBench S4, with the paper's settings (section V-B)."""

_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/avsbench_s4.py',
    '../_base_/models/avs_mamba_pvt.py',
    '../_base_/schedules/adamw_avs.py',
]

# Often changed: optim_wrapper.optimizer.lr, train_dataloader.batch_size, train_cfg.max_epochs.
train_cfg = dict(max_epochs=60)

# Rarely changed: the visual backbone is frozen for the first 20 epochs.
custom_hooks = [dict(type='mmavs.FreezeBackboneHook', end_epoch=20)]
