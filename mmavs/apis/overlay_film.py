"""A film in, the same film with masks, its own sound and a log-mel strip out."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .audio_reader import AudioReader
from .blending import InstantPrediction
from .clips import ClipPlan
from .film_writer import FilmWriter, check_film_path
from .frame_painter import FramePainter
from .inferencer import AVSInferencer
from .log_mel_strip import PAGE_SECONDS, LogMelStrip
from .media_file import MediaError
from .sources import VideoSource
from .stage_timer import StageTimer

# Predictions are held for a clip's length at most at this size; no network sees more pixels.
MAX_SIDE = 960


@dataclass(frozen=True)
class FilmOptions:
    """How an overlay film is made.

    Attributes:
        plan: Length and overlap of the clips that the model sees. Default 5 s without overlap.
        fps: Masks per second. Default 1, at the published instants.
        audio: ``silence`` takes a film without sound as silent, ``require`` makes it an error. Default ``require``.
        between: ``blend`` or ``hold``, see :class:`FramePainter`. Default ``blend``.
        alpha: Weight of the mask colours, 0 to 1. Default 0.5.
        outline: Draw the regions' borders. Default True.
        strip: Draw the log-mel strip under the picture. Default True.
        batch_size: Clips in one call of the model; ``test_cfg.clip_by_clip=False`` runs them at once. Default 1.
        show_progress: Show a progress bar. Default False.
        longest: A film that goes on after this many seconds is refused. Default None: any length.
    """

    plan: ClipPlan = field(default_factory=ClipPlan)
    fps: int = 1
    audio: str = 'require'
    between: str = 'blend'
    alpha: float = 0.5
    outline: bool = True
    strip: bool = True
    batch_size: int = 1
    show_progress: bool = False
    longest: float | None = None


@dataclass(frozen=True)
class FilmReport:
    """What was written.

    Attributes:
        frames: Pictures.
        instants: Masks that the network made.
        sound: ``copied``, ``encoded`` or ``none``.
    """

    frames: int
    instants: int
    sound: str


def write_overlay_film(inferencer: AVSInferencer, path: str | Path, out: str | Path,
                       options: FilmOptions | None = None, timer: StageTimer | None = None,
                       on_instant: Callable[[InstantPrediction], None] | None = None) -> FilmReport:
    """Write a film with the predicted masks over its picture, its own sound, and a strip with the log-mel.

    The film is read by two decoders: one runs ahead by a clip and feeds the network, the other follows and is drawn
    on. So neither frames nor masks of more than one clip are held, however long the film is.

    Args:
        inferencer: The model.
        path: A film.
        out: Target: .mp4, .m4v, .mov, .mkv or .webm. It appears only when it is complete.
        options: See :class:`FilmOptions`. Default None: the defaults.
        timer: Takes down the time of each stage. Default None.
        on_instant: Called with each prediction, in the order of time. Default None.

    Returns:
        What was written.

    Raises:
        MediaError: If the film cannot be used or is too long, or ``out`` cannot be written.
        ValueError: If an option is wrong.
    """
    options, timer = options or FilmOptions(), timer or StageTimer()
    path, out = Path(path), Path(out)
    check_film_path(out)
    painter = FramePainter(inferencer.labels, options.between, options.alpha, options.outline)
    source = VideoSource(path, options.fps, options.audio)
    if out.exists() and out.samefile(path):
        raise MediaError(f'{out} is the film itself; choose another file to write.')
    info = source.video.info
    _check_length(path, info.seconds or 0, options.longest)
    strip_height = max(24, info.height // 6) if options.strip else 0
    sound = source.sound(history=PAGE_SECONDS + 2)
    strip = LogMelStrip(sound, info.width, strip_height) if options.strip else None
    between = _Instants(inferencer.stream(source, options.plan, options.batch_size, MAX_SIDE, timer), on_instant)
    # The stages inside are taken off; what is left is encoding, with what the encoder still holds at the end.
    with closing(sound), timer('encode'), FilmWriter(
            out, (info.height + strip_height, info.width), info.rate, info.pixel_aspect,
            sound_of=path if isinstance(sound, AudioReader) else None) as film:
        for frame in _progress(timer.iterate('decode', source.video), source, options.show_progress):
            # What the file says about its length may be wrong.
            _check_length(path, float(frame.seconds), options.longest)
            before, after = between.around(frame.seconds)
            with timer('decode'):
                picture = frame.rgb()
            with timer('draw'):
                mask = painter.mask(frame.seconds, source.size, before, after)
                picture = painter.paint(picture, mask)
            if strip is not None:
                with timer('log-mel'):
                    picture = np.concatenate([picture, strip.at(frame.seconds)])
            film.write(picture, frame.seconds)
        between.finish()
        copied = film.sound_copied
    return FilmReport(film.frames, between.count, 'none' if copied is None else 'copied' if copied else 'encoded')


class _Instants:
    """The two predictions around a time that only goes forwards."""

    def __init__(self, predictions: Iterator[InstantPrediction],
                 on_instant: Callable[[InstantPrediction], None] | None = None) -> None:
        self._predictions, self._on_instant, self.count = predictions, on_instant, 0
        self.before, self.after = self._next(), self._next()

    def around(self, seconds: Fraction) -> tuple[InstantPrediction, InstantPrediction | None]:
        """The last prediction up to a time (at the beginning: the first), and the one after it."""
        while self.after is not None and self.after.seconds <= seconds:
            self.before, self.after = self.after, self._next()
        return self.before, self.after

    def finish(self) -> None:
        """Take the predictions for instants at which the last picture is still shown, after its own time."""
        while self.after is not None:
            self.before, self.after = self.after, self._next()

    def _next(self) -> InstantPrediction | None:
        prediction = next(self._predictions, None)
        if prediction is not None:
            self.count += 1
            if self._on_instant is not None:
                self._on_instant(prediction)
        return prediction


def _check_length(path: Path, seconds: float, longest: float | None) -> None:
    if longest is not None and seconds > longest:
        raise MediaError(f'{path} is longer than {longest:g} s, the longest film that is taken here.')


def _progress(frames: Iterator, source: VideoSource, show: bool) -> Iterator:
    info = source.video.info
    total = round(info.seconds * info.rate) if info.seconds else None
    return tqdm(frames, desc=source.name, total=total, unit='frame', disable=not show)
