"""A small training in mmengine's terms: dropout in the model, random augmentation in the dataset, EMA, schedule."""

import random
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import nn
from torch.utils.data import Dataset


class ToyModel(BaseModel):
    """Regression with dropout, so that the weights depend on torch's random state."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.BatchNorm1d(8), nn.Linear(8, 1))
        self.poison: float | None = None

    def forward(self, inputs: list, data_samples: list, mode: str = 'tensor') -> dict | list:
        out = self.layers(torch.stack(list(inputs)))
        if mode != 'loss':
            return data_samples
        loss = (out - torch.stack([sample.target for sample in data_samples])).square().mean()
        if any(sample.get('poisoned', False) for sample in data_samples):
            loss = loss * float('nan')
        return dict(loss=loss)


class ToyDataset(Dataset):
    """Samples disturbed by numbers from all three generators; ``broken`` lists indices that cannot be loaded."""

    metainfo = dict(classes=('toy', ))

    def __init__(self, length: int = 12, poisoned: tuple = (), broken: tuple = ()) -> None:
        self.length, self.poisoned, self.broken = length, tuple(poisoned), tuple(broken)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        if index in self.broken:
            raise ValueError(f'clip_{index} is broken')
        noise = random.random() + np.random.rand() + torch.rand(4)
        base = torch.linspace(0, 1, 4) * (index + 1)
        sample = BaseDataElement(metainfo=dict(video_id=f'clip_{index}', poisoned=index in self.poisoned))
        sample.target = base.sum(0, keepdim=True) + torch.rand(1)
        return dict(inputs=base + noise, data_samples=sample)


def toy_config(work_dir: Path, epochs: int = 3, batch_size: int = 2, workers: int = 0, **changes) -> Config:
    """Config of a toy run of ``length / batch_size`` iterations per epoch, with our hooks."""
    dataset = dict(type=ToyDataset, **changes.pop('dataset', {}))
    checkpoint = dict(type='mmavs.AtomicCheckpointHook', interval=1, max_keep_ckpts=1, **changes.pop('checkpoint', {}))
    cfg = dict(
        work_dir=str(work_dir), default_scope='mmengine', model=dict(type=ToyModel), randomness=dict(seed=7),
        train_dataloader=dict(batch_size=batch_size, num_workers=workers, persistent_workers=workers > 0,
                              sampler=dict(type='DefaultSampler', shuffle=True), dataset=dataset),
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
        param_scheduler=[dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=10)],
        default_hooks=dict(checkpoint=checkpoint, preemption=dict(type='mmavs.PreemptionHook'),
                           invalid_loss=dict(type='mmavs.InvalidLossHook'), logger=dict(type='LoggerHook', interval=1)),
        custom_hooks=[dict(type='EMAHook', momentum=0.1)], log_level='ERROR')
    cfg.update(changes)
    return Config(cfg)


def final_weights(work_dir: Path, name: str = 'epoch_3.pth') -> dict:
    """All tensors of a checkpoint that training decides: weights, averaged weights, momentum."""
    checkpoint = torch.load(work_dir / name, weights_only=False)
    momentum = {f'momentum.{k}': v['momentum_buffer'] for k, v in checkpoint['optimizer']['state'].items()}
    return {**checkpoint['state_dict'], **checkpoint['ema_state_dict'], **momentum}
