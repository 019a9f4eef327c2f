"""Files of pretrained weights, for modules of other packages.

mmengine loads them without looking whether they fit. The modules of this package look themselves.
"""

from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config
from mmengine.model import BaseModule
from mmengine.registry import DefaultScope, init_default_scope

from mmavs.utils.safe_load import pretrained_from_init_cfg, read_state_dict
from mmavs.utils.type_names import own_type_name

from .model import build_without_memory
from .nodes import ConfigMistakeError


def check_pretrained(cfg: Config | Mapping) -> None:
    """The file of the visual backbone must be there, and hold every weight of it. Training needs it, testing does not.

    Files given by a URL, backbones of this package and those that translate names while they load are left alone.

    Args:
        cfg: A whole config; it is left unchanged.

    Raises:
        FileNotFoundError: If the file is missing.
        ConfigMistakeError: If it lacks weights, or has them in other shapes.
        ValueError: If it is damaged.
    """
    model = cfg.get('model')
    backbone = model.get('backbone') if isinstance(model, Mapping) else None
    if not isinstance(backbone, Mapping) or own_type_name(backbone) is not None:
        return
    pretrained = pretrained_from_init_cfg(backbone.get('init_cfg'))
    if pretrained is None or '://' in pretrained[0]:
        return
    path, prefix = pretrained
    kind = backbone['type']
    if not Path(path).expanduser().is_file():
        raise FileNotFoundError(
            f'The pretrained weights of {kind} are not at {path}. Get them as the README says ("Pretrained weights"; '
            f'for ResNet-50 it is torchvision\'s ImageNet file). To start from random weights, set '
            'model.backbone.init_cfg=None in the config.')
    if DefaultScope.get_current_instance() is None:
        init_default_scope(cfg.get('default_scope') or 'mmseg')
    module = build_without_memory(backbone)
    if type(module).init_weights is not BaseModule.init_weights:
        return
    found = read_state_dict(path, prefix)
    wrong = [name for name, value in module.state_dict().items()
             if not name.endswith('num_batches_tracked') and (name not in found or found[name].shape != value.shape)]
    if wrong:
        first = f'{wrong[0]} {tuple(module.state_dict()[wrong[0]].shape)}'
        raise ConfigMistakeError(
            f'{path} does not fit model.backbone ({kind}): {len(wrong)} of its weights are missing from the file or of '
            f'another shape, the first is {first}; take the file of the configured architecture.')
