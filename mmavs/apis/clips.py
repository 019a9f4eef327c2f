"""Cutting a recording of any length into clips of the length that a model was trained on.

Letters: T seconds (and frames) of a clip, N masks a second, O seconds that neighbouring clips share.

A model sees frames one second apart. With N > 1 each window of T seconds gives N clips, one for each phase: the frames
of phase j are those at instant j of every second, and its sound is moved by as much, so that every frame hears the
second that ends 1/16 s after it, as in training.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from .instants import LAST_OF_16, phases
from .sources import Source


@dataclass(frozen=True)
class ClipPlan:
    """How a recording is cut.

    Attributes:
        seconds: T, length of a clip; 5 and 10 are AVSBench's. Default 5.
        overlap: O, seconds shared with the next clip, 0 to T - 1. Default 0.

    Raises:
        ValueError: If a number is out of its range.
    """

    seconds: int = 5
    overlap: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (('seconds', 1, 60), ('overlap', 0, self.seconds - 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high:
                raise ValueError(f'clip {name}={value!r} must be a whole number of seconds, {low} to {high}.')

    @property
    def step(self) -> int:
        """Seconds from the beginning of a clip to that of the next."""
        return self.seconds - self.overlap


@dataclass(frozen=True)
class Clip:
    """One input of the network.

    Attributes:
        name: The recording's.
        indices: Which instants of the recording the frames are at.
        times: Those instants in seconds.
        frames: T pictures, (h, w, 3), uint8, BGR, as ``shrink`` returned them.
        waveform: T seconds of sound, shape (n,), float32.
        rate: Samples per second.
        settled: Instants before this index get nothing more from later clips.
    """

    name: str
    indices: list[int]
    times: list[Fraction]
    frames: list[np.ndarray]
    waveform: np.ndarray
    rate: int
    settled: int


def cut_clips(source: Source, plan: ClipPlan, shrink: Callable[[np.ndarray], np.ndarray]) -> Iterator[Clip]:
    """Cut a recording, reading it as clips are asked for.

    At most T seconds of frames are held. The last clip begins earlier, so that it is as long as the others; a recording
    shorter than T seconds is one short clip.

    Args:
        source: The recording.
        plan: Length and overlap of the clips.
        shrink: Brings an RGB picture to the size, and to the channel order BGR, that is kept and given on.

    Yields:
        Clips in the order of time; those of one window in the order of their phases.
    """
    sound = source.sound(history=2 * plan.seconds + 1)
    cutter = _Cutter(source, plan, sound)
    held: list[tuple[int, Fraction, np.ndarray]] = []
    start = 0
    try:
        for index, (seconds, picture) in enumerate(source.frames()):
            if index == (start + plan.seconds) * source.fps:
                yield from cutter.window(start, held, settled=(start + plan.step) * source.fps)
                start += plan.step
            held.append((index, seconds, shrink(picture)))
            del held[:max(0, len(held) - plan.seconds * source.fps)]
        if held:
            total = held[-1][0] + 1
            yield from cutter.window(max(0, -(-total // source.fps) - plan.seconds), held, settled=total)
    finally:
        sound.close()


class _Cutter:
    """Makes the clips of one window of time."""

    def __init__(self, source: Source, plan: ClipPlan, sound: Any) -> None:
        self.source, self.plan, self.sound = source, plan, sound
        self.offsets = phases(source.fps)

    def window(self, start: int, held: list[tuple[int, Fraction, np.ndarray]], settled: int) -> Iterator[Clip]:
        """The clips of the T seconds from second ``start`` on, from the frames that are held."""
        fps = self.source.fps
        first = max(held[0][0], start * fps)
        last_phase = min(fps, held[-1][0] - first + 1) - 1
        for phase, offset in enumerate(self.offsets[:last_phase + 1]):
            members = [item for item in held if item[0] >= first and item[0] % fps == phase]
            begin = members[0][0] // fps + offset - LAST_OF_16
            yield Clip(
                name=self.source.name,
                indices=[index for index, _, _ in members],
                times=[seconds for _, seconds, _ in members],
                frames=[picture for _, _, picture in members],
                waveform=self.sound.read(begin, begin + len(members)),
                rate=self.sound.rate,
                # Only the window's last clip settles anything: the phases lie between each other.
                settled=settled if phase == last_phase else 0)
