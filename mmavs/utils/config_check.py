"""Finds mistakes in a config before anything is built from it, and says where in the config they are."""

import difflib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope, Registry, init_default_scope

import mmavs.registry as registry
from mmavs.utils.building import without_pretrained

_REGISTRIES = [value for value in vars(registry).values() if isinstance(value, Registry) and value.scope == 'mmavs']
# Settings that mmengine takes out of a dict before it builds the object, or that the object is not built from.
_MMENGINE_KEYS = {'type', '_scope_', 'priority'}
_NOT_WALKED = {'optim_wrapper'}
_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
_PROBE_SIZE = 64


class ConfigMistakeError(ValueError):
    """A config cannot work; the message names the entry, what it holds and what it should."""


def check_config(cfg: Config | Mapping) -> None:
    """Check names, and what must agree between parts that are built one by one.

    Checked are: types of this package (``mmavs.X``) and their arguments, at any depth; the channels that the backbones
    give to neck and head; the number of classes in head, data set and metric; the steps of the clip pipelines. Values
    of single arguments are checked by the classes themselves.

    Args:
        cfg: A whole config, or any part of one; it is left unchanged.

    Raises:
        ConfigMistakeError: At the first mistake.
    """
    if isinstance(cfg, Config):
        cfg = cfg.to_dict()
    for path, node in _typed_nodes(cfg, ''):
        _check_names(path, node)
    model = cfg.get('model')
    if isinstance(model, Mapping) and _class_name(model) == 'AVSegmentor':
        for name in _LOADERS:
            _check_loader(name, cfg.get(name), model)
        for name in ('val_evaluator', 'test_evaluator'):
            _check_metrics(name, cfg.get(name), model)
        _check_channels(model, cfg.get('default_scope') or 'mmseg')


def _typed_nodes(node: Any, path: str) -> Iterator[tuple[str, Mapping]]:
    """Every dict with a ``type``, with its place in the config."""
    if isinstance(node, Mapping):
        if 'type' in node:
            yield path, node
        for key, value in node.items():
            if path or key not in _NOT_WALKED:
                yield from _typed_nodes(value, f'{path}.{key}' if path else str(key))
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _typed_nodes(value, f'{path}[{index}]')


def _class_name(node: Mapping) -> str | None:
    """Name of a class of this package, written ``mmavs.X`` or given as the class; None for other types."""
    kind = node.get('type')
    if isinstance(kind, str):
        return kind.removeprefix('mmavs.') if kind.startswith('mmavs.') else None
    return kind.__name__ if inspect.isclass(kind) and kind.__module__.startswith('mmavs.') else None


def _check_names(path: str, node: Mapping) -> None:
    """The type must exist, and have every argument that is given."""
    name = _class_name(node)
    if name is None:
        return
    for known in _REGISTRIES:
        known.import_from_location()
    found = next((known.module_dict[name] for known in _REGISTRIES if name in known.module_dict), None)
    if found is None:
        names = sorted(name for known in _REGISTRIES for name in known.module_dict)
        raise ConfigMistakeError(f'{path}.type: there is no mmavs.{name}' + _suggestion(name, names, 'mmavs.') + '.')
    parameters = inspect.signature(found).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for key in node:
        if key not in parameters and key not in _MMENGINE_KEYS:
            raise ConfigMistakeError(f'{path}: mmavs.{name} has no argument {key!r}' + _suggestion(key, parameters)
                                     + f'; its arguments are {", ".join(parameters)}.')


def _suggestion(name: str, known: Sequence[str], prefix: str = '') -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f' (did you mean {prefix}{close[0]}?)' if close else ''


def _check_channels(model: Mapping, scope: str) -> None:
    """Backbone, neck and head must fit. The backbones' channels are found by a forward pass without memory."""
    parts = _build_without_memory(model, scope)
    found = _map_channels(parts['backbone'])
    name = 'neck' if 'neck' in parts else 'decode_head'
    wanted = getattr(parts[name], 'in_channels', None)
    if found is not None and isinstance(wanted, Sequence) and tuple(wanted) != found:
        raise ConfigMistakeError(
            f'model.{name}.in_channels={tuple(wanted)} does not fit model.backbone, which gives {len(found)} maps of '
            f'{found} channels; set ' + (f'model.{name}.in_channels={found}.' if len(found) == len(wanted) else
                                         f'model.backbone.out_indices so that it gives {len(wanted)} maps.'))
    sound, head = getattr(parts['audio_backbone'], 'out_channels', None), parts['decode_head']
    if sound is not None and getattr(head, 'audio_channels', sound) != sound:
        raise ConfigMistakeError(f'model.decode_head.audio_channels={head.audio_channels} does not fit '
                                 f'model.audio_backbone, which gives {sound} channels; they must be equal.')


def _build_without_memory(model: Mapping, scope: str) -> dict[str, torch.nn.Module]:
    """The parts of a model on the device "meta"; errors of their constructors pass through."""
    current = DefaultScope.get_current_instance()
    if current is None or current.scope_name != scope:
        init_default_scope(scope)
    with torch.device('meta'):
        return {name: registry.MODELS.build(without_pretrained(ConfigDict(model[name])))
                for name in ('backbone', 'audio_backbone', 'neck', 'decode_head') if model.get(name)}


def _map_channels(backbone: torch.nn.Module) -> tuple[int, ...] | None:
    """Channels of the maps that a backbone gives; None for one that cannot run without memory."""
    backbone.eval()
    try:
        with torch.no_grad():
            maps = backbone(torch.empty(1, 3, _PROBE_SIZE, _PROBE_SIZE, device='meta'))
        return tuple(feature.shape[1] for feature in maps)
    except Exception:
        # Backbones of other packages may do anything; what is wrong with them shows when they run.
        return None


def _num_classes(model: Mapping) -> int:
    return model['decode_head'].get('num_classes', 1)


def _check_loader(name: str, loader: Any, model: Mapping) -> None:
    """Classes and pipeline of an AVSBenchDataset."""
    dataset = loader.get('dataset') if isinstance(loader, Mapping) else None
    if not isinstance(dataset, Mapping) or _class_name(dataset) != 'AVSBenchDataset':
        return
    subset, count = dataset.get('subset'), _num_classes(model)
    if (subset == 'avss' and count < 71) or (subset in ('s4', 'ms3') and count > 2):
        raise ConfigMistakeError(
            f'model.decode_head.num_classes={count} does not fit {name}.dataset.subset={subset!r}, whose masks hold '
            f'{"71 classes" if subset == "avss" else "sounding or not"}; set num_classes='
            f'{71 if subset == "avss" else 1}.')
    steps = [_class_name(step) if isinstance(step, Mapping) else type(step).__name__
             for step in dataset.get('pipeline') or ()]
    wanted = ['LoadClipFrames', 'LoadClipMasks', 'LogMelSpectrogram', 'PackAVSInputs']
    missing = [step for step in wanted if step not in steps]
    if missing:
        raise ConfigMistakeError(f'{name}.dataset.pipeline lacks mmavs.{" and mmavs.".join(missing)}: the model needs '
                                 'frames, masks and log-mels, packed.')
    if steps[-1] != 'PackAVSInputs' or steps[0] != 'LoadClipFrames':
        raise ConfigMistakeError(f'{name}.dataset.pipeline must begin with mmavs.LoadClipFrames and end with '
                                 'mmavs.PackAVSInputs.')


def _check_metrics(name: str, metrics: Any, model: Mapping) -> None:
    """A metric must get what the head predicts."""
    count = _num_classes(model)
    for metric in metrics if isinstance(metrics, list | tuple) else [metrics]:
        kind = _class_name(metric) if isinstance(metric, Mapping) else None
        if kind == 'AVSMetric' and count > 1:
            raise ConfigMistakeError(f'{name}: mmavs.AVSMetric scores binary predictions, but '
                                     f'model.decode_head.num_classes={count}; use mmavs.AVSSemanticMetric.')
        if kind == 'AVSSemanticMetric' and metric.get('num_classes', 71) != count:
            raise ConfigMistakeError(f'{name}.num_classes={metric.get("num_classes", 71)} does not fit '
                                     f'model.decode_head.num_classes={count}; they must be equal.')
