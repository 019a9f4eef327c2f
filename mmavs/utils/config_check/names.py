"""Names of types and of their arguments."""

import inspect
from collections.abc import Callable, Mapping

from mmengine.registry import OPTIMIZERS, Registry
from mmengine.utils import get_object_from_string

import mmavs.registry as registry
from mmavs.utils.arguments import check_number
from mmavs.utils.type_names import own_type_name

from .nodes import ConfigMistakeError, suggestion

_REGISTRIES = [value for value in vars(registry).values() if isinstance(value, Registry) and value.scope == 'mmavs']
# Settings that mmengine takes out of a dict before it builds the object.
_MMENGINE_KEYS = {'type', '_scope_', 'priority'}
_OPTIM_WRAPPER_KEYS = {'constructor', 'paramwise_cfg'}


def check_names(path: str, node: Mapping) -> None:
    """The type of a node of this package must exist, and have every argument that is given.

    Raises:
        ConfigMistakeError: If it does not.
    """
    name = own_type_name(node)
    if name is None:
        return
    found = _find(node['type'])
    if found is None:
        names = sorted(name for known in _REGISTRIES for name in known.module_dict)
        raise ConfigMistakeError(f'{path}.type: there is no {node["type"]}{suggestion(name, names, "mmavs.")}.')
    taken_out = _MMENGINE_KEYS | (_OPTIM_WRAPPER_KEYS if path == 'optim_wrapper' else set())
    _check_arguments(path, node, found, f'mmavs.{name}', taken_out)


def check_optimizer(optimizer: Mapping, scope: str) -> None:
    """The type of an optimiser must exist and have every argument that is given; its ``lr`` must be possible.

    Raises:
        ConfigMistakeError: If it does not, or is not.
    """
    kind, path = optimizer.get('type'), 'optim_wrapper.optimizer'
    if isinstance(kind, str):
        with OPTIMIZERS.switch_scope_and_registry(scope) as known:
            found, names = known.get(kind), {*known.module_dict, *OPTIMIZERS.module_dict}
        if found is None:
            raise ConfigMistakeError(f'{path}.type: there is no optimiser {kind}{suggestion(kind, names)}.')
        kind = found
    if inspect.isclass(kind):
        _check_arguments(path, optimizer, kind, kind.__name__, _MMENGINE_KEYS | {'params'})
    if 'lr' in optimizer:
        try:
            check_number(f'{path}.lr', optimizer['lr'], 0)
        except ValueError as error:
            raise ConfigMistakeError(f'{error}.') from None


def _find(kind: str | type) -> Callable | None:
    """What a type of this package is: a class, a registered name or the place of a class; None: there is none."""
    if inspect.isclass(kind):
        return kind
    for known in _REGISTRIES:
        known.import_from_location()
    name = kind.removeprefix('mmavs.')
    registered = next((known.module_dict[name] for known in _REGISTRIES if name in known.module_dict), None)
    return registered or get_object_from_string(kind)


def _check_arguments(path: str, node: Mapping, kind: Callable, name: str, taken_out: set[str]) -> None:
    arguments = _arguments(kind)
    for key in node if arguments is not None else ():
        if key not in arguments and key not in taken_out:
            raise ConfigMistakeError(f'{path}: {name} has no argument {key!r}{suggestion(key, arguments)}; its '
                                     f'arguments are {", ".join(arguments)}.')


def _arguments(kind: Callable) -> list[str] | None:
    """Arguments of a class or function, with those that ``**kwargs`` hands on to a base class; None: it takes any."""
    owners = [base.__init__ for base in kind.__mro__[:-1] if '__init__' in vars(base)] if inspect.isclass(kind) else [
        kind]
    found: list[str] = []
    for owner in owners:
        parameters = inspect.signature(owner).parameters.values()
        found += [p.name for p in parameters
                  if p.name != 'self' and p.name not in found and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters):
            return found
    return None
