"""The ``type`` of a config's dicts, in all forms that mmengine takes."""

import inspect
from collections.abc import Mapping
from typing import Any


def type_name(node: Any) -> str | None:
    """Name of what a dict with a ``type`` builds, without its scope or module.

    Args:
        node: Any part of a config. A ``type`` may be a registered name with or without a scope, the place of a class,
            as the pure Python configs of mmengine give it, or the class itself.

    Returns:
        E.g. ``'MTENeck'`` for ``'mmavs.MTENeck'``, ``'mmavs.models.MTENeck'`` and the class; None for all that is not
        a dict with a ``type``.
    """
    kind = node.get('type') if isinstance(node, Mapping) else None
    if isinstance(kind, str):
        return kind.rpartition('.')[2]
    return getattr(kind, '__name__', None)


def own_type_name(node: Any) -> str | None:
    """:func:`type_name` of what this package has; None for what others have."""
    kind = node.get('type') if isinstance(node, Mapping) else None
    place = kind if isinstance(kind, str) else f'{kind.__module__}.' if inspect.isclass(kind) else ''
    return type_name(node) if place.startswith('mmavs.') else None
