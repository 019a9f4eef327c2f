"""Finds mistakes in a config before anything is built from it, and says where in the config they are."""

from collections.abc import Mapping

from mmengine.config import Config

from mmavs.utils.type_names import own_type_name

from .data import check_dataset, check_loader, check_metrics
from .model import check_av_segmentor, check_neck, check_parts
from .names import check_names, check_optimizer
from .nodes import ConfigMistakeError, typed_nodes
from .options import check_options
from .pretrained import check_pretrained
from .schedule import check_save_best, check_train_cfg

__all__ = ['ConfigMistakeError', 'check_config', 'check_options', 'check_pretrained']

_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
_EVALUATORS = ('val_evaluator', 'test_evaluator')


def check_config(cfg: Config | Mapping) -> None:
    """Check names, numbers that others would refuse later, and what must agree between parts that are built one by one.

    Checked are: types of this package (``mmavs.X``) and their arguments, at any depth; the optimiser; numbers of data
    loaders and of the training's length; ``save_best``; the channels and strides that the backbones give to neck and
    head; the number of classes in head, data set and metric; the steps of the clip pipelines. Values of single
    arguments are checked by the classes themselves.

    Args:
        cfg: A whole config, or any part of one; it is left unchanged.

    Raises:
        ConfigMistakeError: At the first mistake.
        ValueError: If a part of the model cannot be built.
    """
    if isinstance(cfg, Config):
        cfg = cfg.to_dict()
    for path, node in typed_nodes(cfg):
        check_names(path, node)
    scope = cfg.get('default_scope') or 'mmseg'
    wrapper = cfg.get('optim_wrapper')
    if isinstance(wrapper, Mapping) and isinstance(wrapper.get('optimizer'), Mapping):
        check_optimizer(wrapper['optimizer'], scope)
    check_train_cfg(cfg.get('train_cfg'))
    for name in _LOADERS:
        check_loader(name, cfg.get(name))
    model = cfg.get('model')
    if own_type_name(model) == 'AVSegmentor':
        _check_av_config(cfg, model, scope)
    elif isinstance(model, Mapping):
        check_neck(model, scope)
    check_save_best(cfg.get('default_hooks'), cfg.get('val_evaluator'))


def _check_av_config(cfg: Mapping, model: Mapping, scope: str) -> None:
    check_parts(model, cfg.get('data_preprocessor'))
    for name in _LOADERS:
        check_dataset(name, cfg.get(name), model, scope)
    for name in _EVALUATORS:
        check_metrics(name, cfg.get(name), model)
    check_av_segmentor(model, scope)
