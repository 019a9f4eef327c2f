"""Whether the weights of a file are those of a model."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor


class WeightFit(NamedTuple):
    """Outcome of :func:`compare_weights`; the lists are sorted.

    Attributes:
        fitting: Names with the same shape on both sides.
        missing: Names that only the model has.
        unknown: Names that only the file has.
        reshaped: Names with another shape, e.g. ``'head.weight (3, 4) instead of (2, 4)'``.
    """

    fitting: list[str]
    missing: list[str]
    unknown: list[str]
    reshaped: list[str]

    @property
    def complete(self) -> bool:
        """Whether the file holds exactly the model's weights."""
        return not (self.missing or self.unknown or self.reshaped)

    @property
    def problems(self) -> str:
        """What is wrong, e.g. ``'it lacks a, b; it has unknown c'``; empty where nothing is."""
        parts = (('lacks', self.missing), ('has unknown', self.unknown), ('has', self.reshaped))
        return '; '.join(f'it {verb} {shortened(names)}' for verb, names in parts if names)


def compare_weights(expected: Mapping[str, Any], found: Mapping[str, Any]) -> WeightFit:
    """Compare the weights of a model with those of a file by name and shape.

    Args:
        expected: ``state_dict()`` of the model.
        found: Name -> tensor, as read from the file.

    Returns:
        The comparison; entries that are no tensors are left out of it.
    """
    expected, found = ({name: tuple(value.shape) for name, value in state.items() if isinstance(value, Tensor)}
                       for state in (expected, found))
    common = sorted(expected.keys() & found.keys())
    return WeightFit(
        fitting=[name for name in common if expected[name] == found[name]],
        missing=sorted(expected.keys() - found.keys()), unknown=sorted(found.keys() - expected.keys()),
        reshaped=[f'{name} {found[name]} instead of {expected[name]}' for name in common
                  if expected[name] != found[name]])


def shortened(items: Sequence[str], limit: int = 3) -> str:
    """The first ``limit`` items, and how many more there are."""
    more = f' and {len(items) - limit} more' if len(items) > limit else ''
    return ', '.join(items[:limit]) + more
