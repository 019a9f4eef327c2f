"""Pictures of a film, one after the other, with their times."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .media_file import LONGEST_GAP, MediaError, decoded, import_av, open_media, zero_time
from .yuv_matrix import matrix_of

if TYPE_CHECKING:
    import av

DEFAULT_RATE = Fraction(25)
MOST_PIXELS = 64_000_000


@dataclass(frozen=True)
class VideoInfo:
    """What is known about a film's picture before decoding it.

    Attributes:
        width: Pixels, as displayed (after the rotation).
        height: Pixels, as displayed.
        rate: Mean frames per second; 25 where the file does not say.
        seconds: Length in seconds as the file states it, which may be wrong; None where it does not.
        rotation: Degrees, counter-clockwise, by which stored pictures are turned for display: 0, 90, 180 or 270.
        pixel_aspect: Width over height of a displayed pixel.
    """

    width: int
    height: int
    rate: Fraction
    seconds: float | None
    rotation: int
    pixel_aspect: Fraction


@dataclass(frozen=True)
class TimedFrame:
    """One decoded picture.

    Attributes:
        seconds: When it appears, from the beginning of the recording.
        until: When the next one is due, by the file's own frame duration or rate.
        picture: PyAV's frame, not yet converted.
        info: The film's.
    """

    seconds: Fraction
    until: Fraction
    picture: 'av.VideoFrame'
    info: VideoInfo

    def rgb(self) -> np.ndarray:
        """The picture as displayed. Shape (height, width, 3), uint8, RGB."""
        return to_rgb(self.picture, self.info)


def to_rgb(picture: 'av.VideoFrame', info: VideoInfo) -> np.ndarray:
    """Convert and turn a decoded picture; one of another size than the film's first is resized.

    Colours are read by the picture's own tag, or by :func:`~mmavs.apis.yuv_matrix.usual_matrix` where it has none.

    Returns:
        Shape (info.height, info.width, 3), uint8, RGB.
    """
    size = (info.width, info.height) if info.rotation % 180 == 0 else (info.height, info.width)
    array = picture.reformat(width=size[0], height=size[1], format='rgb24',
                             src_colorspace=matrix_of(picture)).to_ndarray()
    return np.ascontiguousarray(np.rot90(array, info.rotation // 90)) if info.rotation else array


class VideoReader:
    """A film's picture, decoded as it is asked for; every iteration opens the file anew and starts at its beginning.

    Times increase strictly, also where the file's do not: a picture without a usable time stamp follows the one before
    by the mean frame distance. Damaged pictures are left out.

    Args:
        path: The film.

    Raises:
        MediaError: If the file cannot be opened, has no video stream, or not one picture of it can be decoded.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with open_media(self.path) as container:
            stream = _video_stream(container, self.path)
            first = next(decoded(container, stream), None)
            if first is None:
                raise MediaError(f'{self.path} has a video stream ({_codec(stream)}), but not one picture of it can '
                                 'be decoded.')
            self.info = _describe(container, stream, first, self.path)

    def __iter__(self) -> Iterator[TimedFrame]:
        with open_media(self.path) as container:
            stream = _video_stream(container, self.path)
            stream.thread_type = 'AUTO'
            step, zero, previous = 1 / self.info.rate, zero_time(container), None
            for picture in decoded(container, stream):
                seconds = _seconds(picture, zero)
                if previous is None:
                    seconds = Fraction(0) if seconds is None else max(seconds, Fraction(0))
                elif seconds is None or seconds <= previous:
                    seconds = previous + step
                self._check_gap(previous or Fraction(0), seconds)
                length = picture.duration * picture.time_base if picture.duration and picture.time_base else step
                yield TimedFrame(seconds, seconds + min(max(length, Fraction(1, 1000)), 10), picture, self.info)
                previous = seconds

    def _check_gap(self, previous: Fraction, seconds: Fraction) -> None:
        if seconds - previous > LONGEST_GAP:
            raise MediaError(f'{self.path} has no picture between second {float(previous):.1f} and second '
                             f'{float(seconds):.1f}: its time stamps are damaged.')


def _video_stream(container: 'av.container.InputContainer', path: Path) -> 'av.VideoStream':
    """The film's main picture; the cover of a music file is none."""
    av = import_av()
    streams = [stream for stream in container.streams.video
               if not stream.disposition & av.stream.Disposition.attached_pic]
    best = container.streams.best('video')
    stream = best if best in streams else next(iter(streams), None)
    if stream is None:
        raise MediaError(f'{path} has no video stream.')
    if stream.codec_context is None:
        raise MediaError(f'{path} has a video stream of a codec that this FFmpeg cannot decode.')
    return stream


def _describe(container: 'av.container.InputContainer', stream: 'av.VideoStream', first: 'av.VideoFrame',
              path: Path) -> VideoInfo:
    if first.width * first.height > MOST_PIXELS:
        raise MediaError(f'{path} has pictures of {first.width}x{first.height} pixels; at most {MOST_PIXELS:,} pixels '
                         'are read.')
    rotation = round((first.rotation or 0) / 90) * 90 % 360
    width, height = (first.width, first.height) if rotation % 180 == 0 else (first.height, first.width)
    aspect = stream.sample_aspect_ratio or Fraction(1)
    rate = stream.average_rate or stream.guessed_rate or DEFAULT_RATE
    seconds = container.duration / 1_000_000 if container.duration else None
    return VideoInfo(width=width, height=height, rate=rate if 0 < rate <= 1000 else DEFAULT_RATE, seconds=seconds,
                     rotation=rotation, pixel_aspect=aspect if rotation % 180 == 0 else 1 / aspect)


def _seconds(picture: 'av.VideoFrame', zero: Fraction) -> Fraction | None:
    if picture.pts is None or not picture.time_base:
        return None
    return picture.pts * picture.time_base - zero


def _codec(stream: 'av.VideoStream') -> str:
    return stream.codec_context.name
