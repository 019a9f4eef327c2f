"""Settings of a data pipeline that is built already."""

from collections.abc import Iterator
from typing import Any


def keep_sound(dataset: Any) -> bool:
    """Let a data set's samples bring along the sound below their log-mel, as ``sample.sound``.

    Must be called before the loader starts its workers, which have copies of the data set.

    Args:
        dataset: A data set with a ``pipeline``, or a wrapper of one (``dataset``) or several (``datasets``).

    Returns:
        Whether a transform was found that can: ``LogMelSpectrogram``, at any depth of the pipeline.
    """
    able = [step for step in _steps(dataset) if hasattr(step, 'keep_sound')]
    for step in able:
        step.keep_sound = True
    return bool(able)


def _steps(part: Any) -> Iterator[Any]:
    """All transforms below a data set, a wrapper or a transform of transforms."""
    for name in ('dataset', 'datasets', 'pipeline', 'transforms'):
        inner = getattr(part, name, None)
        for child in inner if isinstance(inner, (list, tuple)) else [] if inner is None else [inner]:
            yield child
            yield from _steps(child)
