"""What must agree between the parts of a model, which are built one by one."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope, init_default_scope

import mmavs.registry as registry
from mmavs.utils.building import without_pretrained
from mmavs.utils.type_names import own_type_name

from .nodes import ConfigMistakeError

PARTS = ('backbone', 'audio_backbone', 'decode_head')
STRIDES = (4, 8, 16, 32)
_EXAMPLES = dict(backbone="dict(type='mmavs.PVTv2')", audio_backbone="dict(type='mmavs.VGGish')",
                 decode_head="dict(type='mmavs.MADHead')")
_IMAGE_PREPROCESSORS = ('SegDataPreProcessor', 'ImgDataPreprocessor', 'BaseDataPreprocessor')
_PROBE_SIZE = 64


def check_parts(model: Mapping, data_preprocessor: Any) -> None:
    """An ``AVSegmentor`` needs its three parts, and a data preprocessor that makes batches of clips.

    Args:
        model: Config of the model.
        data_preprocessor: The config's own, which mmengine uses for a model without one.

    Raises:
        ConfigMistakeError: If one is missing.
    """
    for name in PARTS:
        if not isinstance(model.get(name), Mapping):
            raise ConfigMistakeError(f'model.{name}={model.get(name)!r}: mmavs.AVSegmentor needs the config of one, '
                                     f'e.g. {_EXAMPLES[name]}.')
    used = model.get('data_preprocessor', data_preprocessor)
    kind = used.get('type') if isinstance(used, Mapping) else None
    if used is None or str(getattr(kind, '__name__', kind)).split('.')[-1] in _IMAGE_PREPROCESSORS:
        raise ConfigMistakeError(
            f'model.data_preprocessor is {kind}, but mmavs.AVSegmentor needs batches of frames with sound, which '
            "dict(type='mmavs.AVDataPreprocessor', ...) makes.")


def check_av_segmentor(model: Mapping, scope: str) -> None:
    """Backbones, neck and head of an ``AVSegmentor`` must fit in channels and strides.

    The maps of the backbone are found by a forward pass without memory; errors of constructors pass through.

    Raises:
        ConfigMistakeError: If they do not fit.
    """
    parts = _build_without_memory(model, (*PARTS, 'neck'), scope)
    shapes = _map_shapes(parts['backbone'])
    _check_channels('neck' if 'neck' in parts else 'decode_head', parts, shapes)
    if shapes is not None and (found := tuple(_PROBE_SIZE // height for _, height in shapes)) != STRIDES[:len(found)]:
        raise ConfigMistakeError(f'model.backbone gives maps at strides {found}, but neck and head are made for '
                                 f'{STRIDES}; set its strides and dilations so, e.g. of mmseg.ResNet to (1, 2, 2, 2) '
                                 'and (1, 1, 1, 1).')
    sound, head = getattr(parts['audio_backbone'], 'out_channels', None), parts['decode_head']
    if sound is not None and getattr(head, 'audio_channels', sound) != sound:
        raise ConfigMistakeError(f'model.decode_head.audio_channels={head.audio_channels} does not fit '
                                 f'model.audio_backbone, which gives {sound} channels; they must be equal.')


def check_neck(model: Mapping, scope: str) -> None:
    """A neck of this package must fit the backbone of another package's segmentor.

    Raises:
        ConfigMistakeError: If it does not.
    """
    if own_type_name(model.get('neck')) is None or not isinstance(model.get('backbone'), Mapping):
        return
    parts = _build_without_memory(model, ('backbone', 'neck'), scope)
    _check_channels('neck', parts, _map_shapes(parts['backbone']))


def _check_channels(name: str, parts: Mapping, shapes: Sequence[tuple[int, int]] | None) -> None:
    """The channels that part ``name`` is built for must be those that the backbone gives."""
    wanted = getattr(parts[name], 'in_channels', None)
    if shapes is None or not isinstance(wanted, Sequence):
        return
    found = tuple(channels for channels, _ in shapes)
    if tuple(wanted) != found:
        raise ConfigMistakeError(
            f'model.{name}.in_channels={tuple(wanted)} does not fit model.backbone, which gives {len(found)} maps of '
            f'{found} channels; set ' + (f'model.{name}.in_channels={found}.' if len(found) == len(wanted) else
                                         f'model.backbone.out_indices so that it gives {len(wanted)} maps.'))


def _build_without_memory(model: Mapping, names: Sequence[str], scope: str) -> dict[str, torch.nn.Module]:
    """The parts of a model, on the device "meta" where they can be; errors of their constructors pass through."""
    current = DefaultScope.get_current_instance()
    if current is None or current.scope_name != scope:
        init_default_scope(scope)
    return {name: build_without_memory(model[name]) for name in names if model.get(name)}


def build_without_memory(cfg: Mapping) -> torch.nn.Module:
    """Build a part of a model on the device "meta", without its pretrained weights.

    Constructors that compute with tensors (mmseg's transformers do, for their drop path rates) need real memory and
    get it. Errors of constructors pass through.
    """
    cfg = without_pretrained(ConfigDict(cfg))
    try:
        with torch.device('meta'):
            return registry.MODELS.build(copy.deepcopy(cfg))
    except RuntimeError:
        return registry.MODELS.build(cfg)


def _map_shapes(backbone: torch.nn.Module) -> list[tuple[int, int]] | None:
    """(channels, height) of the maps that a backbone gives; None for one that cannot run so."""
    backbone.eval()
    device = next((parameter.device for parameter in backbone.parameters()), 'meta')
    try:
        with torch.no_grad():
            maps = backbone(torch.empty(1, 3, _PROBE_SIZE, _PROBE_SIZE, device=device))
        return [(feature.shape[1], feature.shape[2]) for feature in maps]
    except Exception:
        # Backbones of other packages may do anything; what is wrong with them shows when they run.
        return None
