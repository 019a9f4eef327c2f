"""Sound of a film or sound file, in windows of time."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .media_file import LONGEST_GAP, MediaError, decoded, import_av, open_media, reason, zero_time

if TYPE_CHECKING:
    import av

# Time stamps of containers are rounded (to 1 ms in Matroska); smaller steps than this are no gap.
GAP_SECONDS = 0.05


class AudioReader:
    """Mono sound of a file (the mean of its channels), decoded as far as it is asked for.

    Windows may overlap and step back, but not further than ``history`` seconds behind the furthest end asked for: only
    that much is kept. Gaps in the sound are silent, and so is everything before its beginning and after its end.

    Args:
        path: A film or sound file.
        history: Seconds kept.

    Raises:
        MediaError: If the file cannot be opened, has no audio stream, or not one sample of it can be decoded.
    """

    def __init__(self, path: str | Path, history: float) -> None:
        self.path = Path(path)
        self.history = history
        self.rate = 0
        self._frames = self._decode()
        self._kept = np.empty(0, np.float32)
        self._start = 0
        self._grow()
        if not self.rate:
            raise MediaError(f'{self.path} has an audio stream, but not one sample of it can be decoded.')

    def read(self, start: float | Fraction, end: float | Fraction) -> np.ndarray:
        """Sound from second ``start`` to second ``end`` of the recording.

        Args:
            start: Seconds; may be below 0, where the sound that follows is mirrored (a film's first frames would
                otherwise hear silence).
            end: Seconds, above ``start``.

        Returns:
            Shape (round((end - start) * rate),), float32.

        Raises:
            ValueError: If ``start`` lies before what is kept.
        """
        first, last = round(start * self.rate), round(end * self.rate)
        lead, first = max(0, -first), max(0, first)
        if first < self._start:
            raise ValueError(f'{self.path}: the sound at {float(start):.3f} s is no longer kept; read in order, at '
                             f'most {self.history} s back.')
        while self._start + len(self._kept) < last and self._grow():
            pass
        window = self._kept[first - self._start:last - self._start]
        window = np.pad(window, (0, last - first - len(window)))
        drop = last - round(self.history * self.rate) - self._start
        if drop > 0:
            self._kept, self._start = self._kept[drop:].copy(), self._start + drop
        return np.pad(window, (lead, 0), mode='reflect') if lead else window

    def close(self) -> None:
        """Close the file; nothing more is decoded."""
        self._frames.close()

    def _grow(self) -> bool:
        """Decode one second more; False at the end."""
        parts, count = [], 0
        for part in self._frames:
            parts.append(part)
            count += len(part)
            if count >= self.rate:
                break
        if parts:
            self._kept = np.concatenate([self._kept, *parts])
        return bool(parts)

    def _decode(self) -> Iterator[np.ndarray]:
        """Pieces of mono sound without a gap between them, from second 0 on."""
        with open_media(self.path) as container:
            stream = audio_stream(container, self.path)
            convert, zero, position = None, zero_time(container), 0
            for frame in decoded(container, stream):
                if convert is None:
                    convert = _Converter(frame, self.path)
                    self.rate = convert.rate
                shift = self._shift(frame, zero, position)
                # A codec's run-up before second 0 is cut off, overlapping time stamps are taken as they come.
                skip = -shift if position == 0 and shift < 0 else 0
                if shift > GAP_SECONDS * self.rate or (position == 0 and shift > 0):
                    # In pieces, so that a long gap does not fill the memory before it is asked for.
                    for begin in range(0, shift, self.rate):
                        yield np.zeros(min(self.rate, shift - begin), np.float32)
                    position += shift
                samples = convert(frame)[skip:]
                position += len(samples)
                yield samples

    def _shift(self, frame: 'av.AudioFrame', zero: Fraction, position: int) -> int:
        """Samples between the end of what came before and the frame's own time stamp."""
        if frame.pts is None or not frame.time_base:
            return 0
        shift = round((frame.pts * frame.time_base - zero) * self.rate) - position
        return shift if abs(shift) <= LONGEST_GAP * self.rate else 0


class _Converter:
    """Brings decoded frames to mono float32 at the rate of the first one."""

    def __init__(self, first: 'av.AudioFrame', path: Path) -> None:
        self.rate = first.sample_rate
        self.path = path
        if self.rate <= 0:
            raise MediaError(f'{path} has an audio stream with a sample rate of {self.rate} Hz.')
        self._setup, self._resampler = None, None

    def __call__(self, frame: 'av.AudioFrame') -> np.ndarray:
        """Mono samples of one frame. Shape (n,), float32."""
        av = import_av()
        setup = (frame.format.name, frame.layout.name, frame.sample_rate)
        if setup != self._setup:
            # Each frame keeps its own channels: averaging them here needs no knowledge of where they stand.
            self._setup = setup
            self._resampler = av.AudioResampler(format='fltp', layout=frame.layout, rate=self.rate)
        frame.pts = None
        try:
            pieces = [piece.to_ndarray().mean(axis=0) for piece in self._resampler.resample(frame)]
        except (av.FFmpegError, ValueError) as error:
            raise MediaError(f'{self.path} has sound ({setup[1]}, {setup[2]} Hz) that cannot be converted: '
                             f'{reason(error)}.') from None
        samples = np.concatenate(pieces) if pieces else np.empty(0, np.float32)
        if not np.isfinite(samples).all():
            raise MediaError(f'{self.path} has sound samples that are NaN or infinite.')
        return samples.astype(np.float32, copy=False)


def audio_stream(container: 'av.container.InputContainer', path: Path) -> 'av.AudioStream':
    """The file's main sound.

    Raises:
        MediaError: If there is none, or none that can be decoded.
    """
    stream = container.streams.best('audio')
    if stream is None:
        raise MediaError(f'{path} has no audio stream.')
    if stream.codec_context is None:
        raise MediaError(f'{path} has an audio stream of a codec that this FFmpeg cannot decode.')
    return stream
