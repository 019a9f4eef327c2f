"""Checks of constructor arguments, so that a mistake in a config ends in a sentence and not deep inside a layer."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any


def check_whole(name: str, value: Any, lowest: int = 1) -> None:
    """A whole number; True and False are none.

    Args:
        name: The argument as a user knows it, e.g. ``num_layers of MTENeck``.
        value: What was given.
        lowest: The smallest that is possible. Default: 1.

    Raises:
        ValueError: If it is none, or smaller.
    """
    if not _is_whole(value) or value < lowest:
        raise ValueError(f'{name} must be a whole number of at least {lowest}, but got {value!r}')


def check_wholes(name: str, values: Any, count: int, lowest: int = 1) -> None:
    """A list or tuple of ``count`` whole numbers, none smaller than ``lowest`` (default: 1).

    Raises:
        ValueError: If it is anything else.
    """
    if not _is_list(values) or len(values) != count or not all(_is_whole(v) and v >= lowest for v in values):
        raise ValueError(f'{name} must be {count} whole numbers of at least {lowest}, but got {values!r}')


def check_number(name: str, value: Any, lowest: float, highest: float = float('inf'), open_end: bool = False) -> None:
    """A number from ``lowest`` to ``highest``; with ``open_end`` it stays below ``highest``.

    Raises:
        ValueError: If it is none, or outside of the range.
    """
    fits = _is_number(value) and lowest <= value and (value < highest if open_end else value <= highest)
    if not fits:
        span = f'of at least {lowest:g}' if highest == float('inf') else (
            f'in [{lowest:g}, {highest:g}{")" if open_end else "]"}')
        raise ValueError(f'{name} must be a number {span}, but got {value!r}')


def check_numbers(name: str, values: Any, count: int) -> None:
    """A list or tuple of ``count`` numbers.

    Raises:
        ValueError: If it is anything else.
    """
    if not _is_list(values) or len(values) != count or not all(map(_is_number, values)):
        raise ValueError(f'{name} must be {count} numbers, but got {values!r}')


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_list(values: Any) -> bool:
    return isinstance(values, Sequence) and not isinstance(values, str)
