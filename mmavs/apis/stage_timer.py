"""Where the time of a run goes."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar('Item')


class StageTimer:
    """Adds up the wall time of named stages; a stage that runs inside another one is counted once, as its own."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = [0.0]
        self._start = time.perf_counter()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count the time inside the ``with`` block, less that of the stages inside it."""
        begin = time.perf_counter()
        self._inner.append(0.0)
        try:
            yield
        finally:
            elapsed = time.perf_counter() - begin
            self.seconds[stage] += elapsed - self._inner.pop()
            self._inner[-1] += elapsed

    def iterate(self, stage: str, items: Iterable[Item]) -> Iterator[Item]:
        """Go through ``items``, counting the time that each one takes to arrive."""
        iterator = iter(items)
        try:
            while True:
                with self(stage):
                    try:
                        item = next(iterator)
                    except StopIteration:
                        return
                yield item
        finally:
            close = getattr(iterator, 'close', None)
            if close is not None:
                close()

    def table(self, frames: int) -> str:
        """Seconds, share and milliseconds per frame of every stage, the longest first.

        Args:
            frames: Pictures of the film.
        """
        total = time.perf_counter() - self._start
        stages = sorted(self.seconds.items(), key=lambda row: -row[1])
        rows = [*stages, ('other', total - sum(self.seconds.values())), ('total', total)]
        lines = [f'{"stage":<10}{"seconds":>10}{"share":>8}{"ms/frame":>10}']
        for stage, seconds in rows:
            per_frame = 1000 * seconds / max(frames, 1)
            lines.append(f'{stage:<10}{seconds:>10.2f}{seconds / total:>8.1%}{per_frame:>10.2f}')
        longest = f'; most of the time goes to: {stages[0][0]}' if stages else ''
        return '\n'.join([*lines, f'{frames / total:.1f} frames/s{longest}'])
