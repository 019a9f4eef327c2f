"""Models and data sets from a config, outside a runner: what the analysis tools start from."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from torch import nn

from mmavs.registry import DATASETS, MODELS
from mmavs.utils.safe_load import load_weights
from mmavs.utils.type_names import type_name

SPLITS = ('train', 'val', 'test')


def build_model(cfg: Config, checkpoint: str | None = None, device: str | torch.device = 'cpu') -> nn.Module:
    """Build the model of a config for evaluation.

    Files named by ``init_cfg`` are not read: either the checkpoint holds all weights, or random weights will do (for
    counting and timing).

    Args:
        cfg: A whole config; its ``model`` is built and left unchanged.
        checkpoint: Weights of the whole model. Default None: random weights.
        device: Where the model goes. Default 'cpu'.

    Returns:
        The model in evaluation mode; ``model.dataset_meta`` is that of the checkpoint or None.

    Raises:
        ValueError: If the config has no model, or the checkpoint's weights are not exactly those of the model.
        FileNotFoundError: If there is no such checkpoint.
    """
    if 'model' not in cfg:
        raise ValueError(f'{cfg.filename} has no entry "model", so there is nothing to build.')
    init_default_scope(cfg.get('default_scope') or 'mmseg')
    model = MODELS.build(without_pretrained(cfg.model))
    model.dataset_meta = None
    if checkpoint is not None:
        load_weights(model, checkpoint)
    return model.to(device).eval()


def without_pretrained(cfg: Any) -> Any:
    """Copy of a model config in which no ``init_cfg`` of type ``Pretrained`` is left, at any depth."""
    if isinstance(cfg, dict):
        kept = {key: without_pretrained(value) for key, value in cfg.items()}
        entry = kept.get('init_cfg')
        if type_name(entry) in ('Pretrained', 'PretrainedInit'):
            kept['init_cfg'] = None
        return ConfigDict(kept)
    if isinstance(cfg, (list, tuple)):
        return type(cfg)(without_pretrained(value) for value in cfg)
    return cfg


@contextmanager
def published_form(model: nn.Module) -> Iterator[None]:
    """Evaluate the head's mask MLP layer by layer while the context is open, as the paper writes it.

    Its faster evaluation by linear pieces does an amount of work that depends on the weights and the pixels; FLOPs
    that can be compared are those of the plain form.
    """
    changed = [(module, module.evaluation) for module in model.modules()
               if getattr(module, 'evaluation', None) in ('auto', 'piecewise')]
    for module, _ in changed:
        module.evaluation = 'plain'
    try:
        yield
    finally:
        for module, evaluation in changed:
            module.evaluation = evaluation


def build_dataset(cfg: Config, split: str, pipeline_of: str | None = None) -> Any:
    """Build the data set of one of a config's loaders.

    Args:
        cfg: A whole config with ``<split>_dataloader``.
        split: 'train', 'val' or 'test'.
        pipeline_of: Use the transforms of another loader, e.g. 'test' to see the training clips without augmentation.

    Returns:
        The data set.

    Raises:
        ValueError: If ``split`` is unknown or the config lacks the loader.
    """
    for name in (split, pipeline_of or split):
        if name not in SPLITS:
            raise ValueError(f'split={name!r} must be one of {", ".join(SPLITS)}.')
        if not cfg.get(f'{name}_dataloader'):
            raise ValueError(f'{cfg.filename} has no {name}_dataloader; choose another split.')
    init_default_scope(cfg.get('default_scope') or 'mmseg')
    dataset = cfg[f'{split}_dataloader'].dataset
    if pipeline_of is not None:
        dataset = ConfigDict({**dataset, 'pipeline': cfg[f'{pipeline_of}_dataloader'].dataset.pipeline})
    return DATASETS.build(dataset)


def random_clips(num_clips: int, num_frames: int, size: tuple[int, int], device: str | torch.device = 'cpu') -> dict:
    """A batch of noise as the model gets it from its data preprocessor.

    Args:
        num_clips: B.
        num_frames: T, frames of each clip.
        size: (height, width) of the frames in pixels.
        device: Where the tensors go. Default 'cpu'.

    Returns:
        dict(img=(B*T, 3, height, width), audio=(B*T, 1, 96, 64), clip_lengths=[T] * B), float32.
    """
    number = num_clips * num_frames
    generator = torch.Generator().manual_seed(0)
    return dict(img=torch.randn(number, 3, *size, generator=generator).to(device),
                audio=torch.randn(number, 1, 96, 64, generator=generator).to(device),
                clip_lengths=[num_frames] * num_clips)
