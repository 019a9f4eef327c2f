"""A small training in mmengine's terms: dropout in the model, random augmentation in the dataset, EMA, schedule."""

import random
import signal
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import nn
from torch.utils.data import Dataset

from mmavs.engine.runner import AVSRunner

_RUNS = count()


class ToyModel(BaseModel):
    """Regression with dropout, so that the weights depend on torch's random state."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.BatchNorm1d(8), nn.Linear(8, 1))

    def forward(self, inputs: list, data_samples: list, mode: str = 'tensor') -> dict | list:
        out = self.layers(torch.stack(list(inputs)))
        for sample, value in zip(data_samples, out.detach(), strict=True):
            sample.pred = value
        if mode != 'loss':
            return data_samples
        loss = (out - torch.stack([sample.target for sample in data_samples])).square().mean()
        if any(sample.poisoned for sample in data_samples):
            loss = loss * float('nan')
        if any(sample.steep for sample in data_samples):
            loss = loss + _NanGradient.apply(out).sum()
        return dict(loss=loss)


class _NanGradient(torch.autograd.Function):
    """Zeros with a gradient of NaN."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient * float('nan')


class ToyDataset(Dataset):
    """Samples disturbed by all three generators.

    ``poisoned`` ones have a NaN loss, ``steep`` ones a finite loss with a NaN gradient, ``nan`` ones contain NaN, and
    ``broken`` ones cannot be read.
    """

    metainfo = dict(classes=('toy', ))

    def __init__(self, length: int = 12, poisoned: tuple = (), broken: tuple = (), steep: tuple = (),
                 nan: tuple = ()) -> None:
        self.length, self.poisoned, self.broken = length, tuple(poisoned), tuple(broken)
        self.steep, self.nan = tuple(steep), tuple(nan)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        if index in self.broken:
            raise ValueError(f'clip_{index} is broken')
        noise = random.random() + np.random.rand() + torch.rand(4)
        base = torch.linspace(0, 1, 4) * (index + 1) / self.length
        if index in self.nan:
            noise = noise * float('nan')
        sample = BaseDataElement(metainfo=dict(video_id=f'clip_{index}', poisoned=index in self.poisoned,
                                               steep=index in self.steep))
        sample.target = base.sum(0, keepdim=True) + torch.rand(1)
        return dict(inputs=base + noise, data_samples=sample)


class ToyMetric(BaseMetric):
    """Mean absolute error."""

    def process(self, data_batch: Any, data_samples: list) -> None:
        self.results += [float((sample['pred'] - sample['target']).abs()) for sample in data_samples]

    def compute_metrics(self, results: list) -> dict:
        return dict(error=sum(results) / len(results))


def toy_config(work_dir: Path, epochs: int = 3, batch_size: int = 2, workers: int = 0, dataset: dict | None = None,
               checkpoint: dict | None = None, **changes: Any) -> Config:
    """Config of a toy run with 6 iterations per epoch, our hooks and a validation after each epoch."""
    loader = dict(batch_size=batch_size, num_workers=workers, persistent_workers=workers > 0,
                  dataset=dict(type=ToyDataset, **(dataset or {})))
    cfg = dict(
        work_dir=str(work_dir), experiment_name=f'toy{next(_RUNS)}', default_scope='mmengine', log_level='ERROR',
        launcher='none',
        model=dict(type=ToyModel), randomness=dict(seed=7),
        train_dataloader=dict(sampler=dict(type='DefaultSampler', shuffle=True), **loader),
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=epochs),
        val_dataloader=dict(loader, sampler=dict(type='DefaultSampler', shuffle=False),
                            dataset=dict(type=ToyDataset, length=6)),
        val_cfg=dict(), val_evaluator=dict(type=ToyMetric, prefix='toy'),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
        param_scheduler=[dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=10)],
        default_hooks=dict(
            checkpoint={**dict(type='mmavs.AtomicCheckpointHook', interval=1, max_keep_ckpts=1,
                               save_best='toy/error', rule='less'), **(checkpoint or {})},
            preemption=dict(type='mmavs.PreemptionHook'), invalid_loss=dict(type='mmavs.InvalidLossHook'),
            provenance=dict(type='mmavs.ProvenanceHook'), logger=dict(type='LoggerHook', interval=1)),
        custom_hooks=[dict(type='EMAHook', momentum=0.1)])
    cfg.update(changes)
    return Config(cfg)


def all_weights(work_dir: Path, name: str = 'epoch_3.pth') -> dict[str, torch.Tensor]:
    """All tensors of a checkpoint that training decides: weights, averaged weights, momentum."""
    checkpoint = torch.load(Path(work_dir) / name, weights_only=False)
    momentum = {f'momentum.{key}': value['momentum_buffer'] for key, value in checkpoint['optimizer']['state'].items()}
    return {**checkpoint['state_dict'], **checkpoint.get('ema_state_dict', {}), **momentum}


def assert_same_weights(work_dir: Path, reference: Path, name: str = 'epoch_3.pth') -> None:
    """The two runs ended with bit-identical tensors, and with the same best checkpoint."""
    found, expected = all_weights(work_dir, name), all_weights(reference, name)
    assert found.keys() == expected.keys()
    assert [key for key in expected if not torch.equal(found[key], expected[key])] == []
    best = [sorted(path.name for path in Path(folder).glob('best_*')) for folder in (work_dir, reference)]
    assert best[0] == best[1]


class SignalAt(Hook):
    """Sends SIGTERM, by default to this process, at the beginning of an iteration of training or validation."""

    def __init__(self, iteration: int, stage: str = 'train',
                 send: Callable[[], None] = partial(signal.raise_signal, signal.SIGTERM)) -> None:
        self.iteration, self.stage, self.send = iteration, stage, send

    def _before_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, mode: str = 'train') -> None:
        if mode == self.stage and runner.iter == self.iteration:
            self.iteration = -1
            self.send()


def train(work_dir: Path, hook: Hook | None = None, **config: Any) -> AVSRunner:
    """Train a toy run to its end and return the runner."""
    runner = AVSRunner.from_cfg(toy_config(work_dir, **config))
    if hook is not None:
        runner.register_hook(hook)
    runner.train()
    return runner
