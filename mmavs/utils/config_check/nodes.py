"""What the checks of a config have in common."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any


class ConfigMistakeError(ValueError):
    """A config cannot work; the message names the entry, what it holds and what it should."""


def typed_nodes(node: Any, path: str = '') -> Iterator[tuple[str, Mapping]]:
    """Every dict with a ``type``, with its place in the config, e.g. ``model.neck``."""
    if isinstance(node, Mapping):
        if 'type' in node:
            yield path, node
        for key, value in node.items():
            yield from typed_nodes(value, f'{path}.{key}' if path else str(key))
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from typed_nodes(value, f'{path}[{index}]')


def suggestion(name: str, known: Iterable[str], prefix: str = '') -> str:
    """`` (did you mean ...?)`` where a name is close to a known one, else nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f' (did you mean {prefix}{close[0]}?)' if close else ''
