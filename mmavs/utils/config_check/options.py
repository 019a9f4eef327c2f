"""``--cfg-options`` that would change nothing."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from .nodes import ConfigMistakeError, suggestion

# Entries that a run reads; all others are variables of the config files, whose values were copied when they were read.
_READ = {*inspect.signature(Runner.__init__).parameters, 'model_wrapper_cfg', 'sync_bn', 'find_unused_parameters',
         'activation_checkpointing', 'efficient_conv_bn_eval', 'compile', 'tta_model', 'tta_pipeline',
         'runner_type'} - {'self', 'cfg'}
_SHOWN = 8


def check_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Refuse options that would be ignored.

    A config file is a Python program: ``input_size`` is used while it is read, and what is merged over the result
    later does not reach the places that it was used in.

    Args:
        cfg: The config as read, before the options are merged.
        options: Dotted keys and their values, as of ``--cfg-options``.

    Raises:
        ConfigMistakeError: For a variable, naming the entries that its value is in; and for an entry that nothing
            knows.
    """
    read = set(_READ)
    if isinstance(cfg.get('model'), Mapping) and 'data_preprocessor' in cfg['model']:
        # mmengine takes it for models without one only.
        read.discard('data_preprocessor')
    for key in options:
        name = key.split('.')[0]
        if name in read:
            continue
        if name not in cfg:
            raise ConfigMistakeError(f'--cfg-options {key}: the config has no entry {name!r}'
                                     f'{suggestion(name, read | set(cfg))}.')
        places = [path for entry in sorted(read & set(cfg)) for path in _places(cfg[entry], entry, name, cfg[name])]
        if places:
            more = f' and {len(places) - _SHOWN} more' if len(places) > _SHOWN else ''
            raise ConfigMistakeError(
                f'--cfg-options {key}: {name} is a variable that the config file has used already, so setting it now '
                f'would change nothing; set {", ".join(places[:_SHOWN])}{more} instead.')


def _places(node: Any, path: str, name: str, value: Any) -> Iterator[str]:
    """Where a variable went: entries of its name, and equal texts, lists and dicts under other names."""
    last = path.split('.')[-1]
    if last == name or (node == value and isinstance(value, str | list | tuple | Mapping) and value):
        yield path
        return
    items = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list | tuple) else ()
    for key, child in items:
        yield from _places(child, f'{path}.{key}', name, value)
