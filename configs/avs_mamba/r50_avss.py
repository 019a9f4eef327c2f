"""AVS-Mamba, ResNet-50, AVSBench AVSS (71 classes), with the paper's settings (section V-B)."""

_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/avsbench_avss.py',
    '../_base_/models/avs_mamba_r50.py',
    '../_base_/schedules/adamw_avs.py',
]

# Often changed: optim_wrapper.optimizer.lr, train_dataloader.batch_size, train_cfg.max_epochs.
train_cfg = dict(max_epochs=50)

# Rarely changed.
model = dict(
    decode_head=dict(
        num_classes=71,
        threshold=None,
        loss_decode=dict(
            _delete_=True, type='mmseg.CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0, avg_non_ignore=True)))
default_hooks = dict(checkpoint=dict(save_best='avss/mIoU'))
