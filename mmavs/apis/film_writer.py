"""Writing a film with the picture that is given and the sound of another film."""

import os
import tempfile
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np

from .media_file import MediaError, import_av, reason
from .sound_track import ENCODER, SoundTrack
from .yuv_matrix import tag, usual_matrix

# The first that this FFmpeg has is taken.
VIDEO_CODECS = {'.webm': ('libvpx-vp9', 'libvpx')}
DEFAULT_CODECS = ('libx264', 'libopenh264', 'mpeg4')
CODEC_OPTIONS = {
    # Without B-frames, whose decoding times move the end of a film of variable rate in MP4.
    'libx264': {'crf': '20', 'preset': 'veryfast', 'bf': '0'},
    'libvpx-vp9': {'crf': '32', 'deadline': 'realtime', 'cpu-used': '6', 'row-mt': '1'},
    'libvpx': {'crf': '10', 'deadline': 'realtime', 'cpu-used': '6'},
    'mpeg4': {'qscale': '3'},
}
# Fine enough for every film rate; MPEG-4 takes no finer one.
CLOCK = 60_000


class FilmWriter:
    """A film file that grows picture by picture, and takes its name only when it is complete.

    Use it as a context manager. Pictures keep their own times, so a film of variable frame rate stays one.

    Args:
        path: Target: .mp4, .m4v, .mov, .mkv or .webm. An existing file is replaced at the end.
        size: (height, width) of the pictures; an odd side is encoded one pixel longer.
        rate: Mean frames per second, for the encoder's rate control.
        pixel_aspect: Width over height of a pixel. Default 1.
        sound_of: Film whose sound is taken along. Default None: no sound.

    Raises:
        MediaError: If ``path`` has another suffix or cannot be written.
    """

    def __init__(self, path: str | Path, size: tuple[int, int], rate: Fraction, pixel_aspect: Fraction = Fraction(1),
                 sound_of: str | Path | None = None) -> None:
        self.path, self.size = Path(path), size
        self._suffix = check_film_path(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.frames = 0
        self._last = -1
        self._sound, self._temporary = None, self._reserve()
        try:
            self._open(rate, pixel_aspect, sound_of)
        except BaseException as failure:
            self._abandon()
            self._explain(failure)
            raise

    @property
    def sound_copied(self) -> bool | None:
        """Whether the sound's packets are copied; None without sound."""
        return None if self._sound is None else self._sound.copied

    def write(self, picture: np.ndarray, seconds: Fraction) -> None:
        """Append a picture, and the sound up to its time.

        Args:
            picture: Shape (*size, 3), uint8, RGB.
            seconds: When it appears; each one later than the one before.
        """
        av = import_av()
        height, width = self.size
        if height % 2 or width % 2:
            picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode='edge')
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format='rgb24')
        frame = self._to_yuv.reformat(frame, format='yuv420p', dst_colorspace=usual_matrix(frame.height),
                                      dst_color_range=av.video.reformatter.ColorRange.MPEG)
        frame.pts = max(self._last + 1, round(seconds * CLOCK))
        frame.time_base = Fraction(1, CLOCK)
        self._last = frame.pts
        if self._sound is not None:
            self._sound.write_until(seconds)
        self._container.mux(self._stream.encode(frame))
        self.frames += 1

    def __enter__(self) -> 'FilmWriter':
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if kind is not None:
            self._abandon()
            self._explain(error)
            return
        try:
            self._container.mux(self._stream.encode(None))
            if self._sound is not None:
                self._sound.write_until(None)
                self._sound.close()
            self._container.close()
            os.chmod(self._temporary, 0o644)
            os.replace(self._temporary, self.path)
        except BaseException as failure:
            self._abandon()
            self._explain(failure)
            raise

    def _explain(self, error: BaseException | None) -> None:
        """Turn what FFmpeg says about the output into a sentence; other errors are their own explanation."""
        if isinstance(error, import_av().FFmpegError):
            raise MediaError(f'{self.path} cannot be written: {reason(error)}.') from None

    def _reserve(self) -> Path:
        try:
            handle, name = tempfile.mkstemp(prefix='.writing-', suffix=self._suffix, dir=self.path.parent)
        except OSError as error:
            raise MediaError(f'{self.path} cannot be written: {reason(error)}.') from None
        os.close(handle)
        return Path(name)

    def _open(self, rate: Fraction, pixel_aspect: Fraction, sound_of: str | Path | None) -> None:
        av = import_av()
        self._container = av.open(str(self._temporary), 'w', options={'strict': 'experimental'})
        codec = next(name for name in VIDEO_CODECS.get(self._suffix, DEFAULT_CODECS) if _can_encode(name))
        options = {**CODEC_OPTIONS.get(codec, {})}
        self._stream = self._container.add_stream(codec, rate=Fraction(rate).limit_denominator(1001), options=options)
        context = self._stream.codec_context
        context.width, context.height = self.size[1] + self.size[1] % 2, self.size[0] + self.size[0] % 2
        context.pix_fmt = 'yuv420p'
        context.time_base = Fraction(1, CLOCK)
        tag(context)
        self._to_yuv = av.video.reformatter.VideoReformatter()
        if pixel_aspect != 1:
            context.sample_aspect_ratio = Fraction(pixel_aspect).limit_denominator(255)
        if sound_of is not None:
            self._sound = SoundTrack(Path(sound_of), self._container, self._suffix)

    def _abandon(self) -> None:
        """Close and remove the unfinished file; complaints about it being unfinished do not matter."""
        if self._sound is not None:
            self._sound.close()
        container = getattr(self, '_container', None)
        if container is not None:
            try:
                container.close()
            except (import_av().FFmpegError, OSError, ValueError):
                pass
        self._temporary.unlink(missing_ok=True)


def check_film_path(path: Path) -> str:
    """Suffix of a film that can be written, in lower case.

    Raises:
        MediaError: If it is another suffix.
    """
    suffix = path.suffix.lower()
    if suffix not in ENCODER:
        raise MediaError(f'{path} must end in one of {", ".join(ENCODER)} to be written as a film.')
    return suffix


def _can_encode(codec: str) -> bool:
    av = import_av()
    try:
        return av.Codec(codec, 'w').is_encoder
    except (av.FFmpegError, ValueError):
        return False
