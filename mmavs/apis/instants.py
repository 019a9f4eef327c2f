"""The instants of a film that get a mask, and the pictures shown then.

AVSBench's frames are the last of 16 frames of each second: frame k is what is shown at second k + 15/16. With N masks a
second the instants are the last of each N-th of a second in the same sense, so N = 1 gives the published ones.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction

from .video_reader import TimedFrame

MOST_PER_SECOND = 60
# Where AVSBench's frame lies in its second.
LAST_OF_16 = Fraction(15, 16)


def phases(fps: int) -> list[Fraction]:
    """Instants within each second.

    Args:
        fps: Masks per second, 1 to 60.

    Returns:
        ``fps`` times in seconds: (j + 1) / fps less a sixteenth of a second, or less 1 / fps where that is shorter.

    Raises:
        ValueError: If ``fps`` is not a whole number in 1..60.
    """
    if not isinstance(fps, int) or isinstance(fps, bool) or not 1 <= fps <= MOST_PER_SECOND:
        raise ValueError(f'fps={fps!r} must be a whole number of masks per second, 1 to {MOST_PER_SECOND}.')
    back = min(Fraction(1, 16), Fraction(1, fps))
    return [Fraction(j + 1, fps) - back for j in range(fps)]


def instant(index: int, offsets: list[Fraction]) -> Fraction:
    """Time in seconds of mask ``index``, counted from 0; ``offsets`` are those of :func:`phases`."""
    return index // len(offsets) + offsets[index % len(offsets)]


def at_instants(frames: Iterable[TimedFrame], fps: int) -> Iterator[tuple[Fraction, TimedFrame]]:
    """Pair each instant with the picture that is shown then.

    The last instants are those that the last picture is still shown at. A film too short for one instant gives its
    last picture, at that picture's own time.

    Args:
        frames: Pictures in order.
        fps: Masks per second.

    Yields:
        Time of the instant in seconds, and the last picture that appeared up to then (before the first: the first).
    """
    offsets, index, shown = phases(fps), 0, None
    for frame in frames:
        while instant(index, offsets) < frame.seconds:
            yield instant(index, offsets), shown or frame
            index += 1
        shown = frame
    if shown is None:
        return
    while instant(index, offsets) < shown.until:
        yield instant(index, offsets), shown
        index += 1
    if index == 0:
        yield shown.seconds, shown
