"""What a prediction can be made from: a film, a folder of frames with a sound file, or arrays.

A source gives the frames that get a mask, with their times, and its sound by windows of time. It can be gone through
more than once.
"""

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .instants import at_instants, instant, phases
from .media_file import MediaError, NoSoundError
from .sounds import SILENCE_RATE, SampledSound, Sound, check_audio, open_sound, to_mono
from .video_reader import VideoReader

PICTURES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp')
SOUNDS = ('.wav', '.flac', '.mp3', '.ogg', '.opus', '.m4a', '.aac')


class VideoSource:
    """A film. Its masks belong to the published instants, or to ``fps`` instants a second.

    Args:
        path: The film.
        fps: Masks per second. Default 1.
        audio: ``require`` makes a film without sound an error, ``silence`` takes it as silent. Default ``require``.

    Raises:
        MediaError: If the film cannot be used; the message names it.
    """

    def __init__(self, path: str | Path, fps: int = 1, audio: str = 'require') -> None:
        self.path, self.fps, self.audio = Path(path), fps, check_audio(audio)
        phases(fps)
        self.name = self.path.stem
        self.video = VideoReader(self.path)
        self.size = (self.video.info.height, self.video.info.width)
        self.sound(history=1).close()

    def frames(self) -> Iterator[tuple[Fraction, np.ndarray]]:
        """Times in seconds and pictures of shape (H, W, 3), uint8, RGB."""
        for seconds, frame in at_instants(self.video, self.fps):
            yield seconds, frame.rgb()

    def sound(self, history: float) -> Sound:
        """The sound; ``history`` seconds of it can be stepped back."""
        return open_sound(self.path, history, self.audio)


class FrameSource:
    """Frames one second apart, as AVSBench's clips have them, with their sound.

    Args:
        frames: T pictures, of equal shape (H, W, 3), uint8, RGB; or the paths of T picture files.
        waveform: Floats in [-1, 1], shape (n,) or (n, channels); or the path of a sound file; None is silence.
        rate: Samples per second of an array. Default None.
        name: How the clip is called in messages and result files. Default ``'clip'``.
        audio: As for :class:`VideoSource`, for sound files and arrays without a sample.

    Raises:
        MediaError: If a file cannot be used; the message names it.
        TypeError: If an array has another type.
        ValueError: If an array has another shape, or there is no frame.
    """

    def __init__(self, frames: Sequence, waveform: np.ndarray | str | Path | None, rate: int | None = None,
                 name: str = 'clip', audio: str = 'require') -> None:
        self.name, self.audio, self.fps = name, check_audio(audio), 1
        self._frames = frames
        self._sound, self._samples = None, None
        if isinstance(waveform, (str, Path)):
            self._sound = Path(waveform)
        elif waveform is not None:
            self._samples = to_mono(waveform, rate, name)
            if self._samples.size == 0 and audio == 'require':
                raise NoSoundError(f"{name} has no sound (0 samples); pass audio='silence' to take it as silent.")
        self.rate = rate or SILENCE_RATE
        if len(frames) == 0:
            raise ValueError(f'{name} has no frames.')
        if isinstance(frames, np.ndarray) and (frames.ndim != 4 or frames.shape[3] != 3):
            raise ValueError(f'The frames of {name} have shape {frames.shape}; expected (T, H, W, 3), RGB.')
        self.size = self._read(0).shape[:2]
        self.sound(history=1).close()

    def frames(self) -> Iterator[tuple[Fraction, np.ndarray]]:
        """Times in seconds (the published instants) and pictures of shape (H, W, 3), uint8, RGB."""
        offsets = phases(1)
        for index in range(len(self._frames)):
            picture = self._read(index)
            if picture.shape[:2] != self.size:
                raise MediaError(f'{self._label(index)} is {picture.shape[1]}x{picture.shape[0]} pixels, the first '
                                 f'frame of the clip {self.size[1]}x{self.size[0]}; all must be equal.')
            yield instant(index, offsets), picture

    def sound(self, history: float) -> Sound:
        """The sound; ``history`` seconds of it can be stepped back."""
        if self._sound is not None:
            return open_sound(self._sound, history, self.audio)
        samples = np.empty(0, np.float32) if self._samples is None else self._samples
        return SampledSound(samples, self.rate)

    def _label(self, index: int) -> str:
        frame = self._frames[index]
        return str(frame) if isinstance(frame, (str, Path)) else f'Frame {index} of {self.name}'

    def _read(self, index: int) -> np.ndarray:
        frame = self._frames[index]
        if isinstance(frame, (str, Path)):
            # Through memory: OpenCV does not open every path, and writes its own complaints to the terminal.
            content = np.frombuffer(Path(frame).read_bytes(), np.uint8)
            picture = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
            if picture is None:
                raise MediaError(f'{frame} is damaged or no picture ({content.size} bytes).')
            return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        picture = np.asarray(frame)
        if picture.dtype != np.uint8:
            raise TypeError(f'{self._label(index)} has dtype {picture.dtype}; expected uint8, RGB in 0..255.')
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
            raise ValueError(f'{self._label(index)} has shape {picture.shape}; expected (H, W, 3), RGB.')
        return picture


Source = VideoSource | FrameSource


def make_source(item: Any, fps: int = 1, audio: str = 'require', name: str = 'clip') -> Source:
    """Find out what an input is.

    Args:
        item: Path of a film; path of a folder with frames and one sound file; a dict with ``frames`` (T, H, W, 3),
            ``waveform`` and ``sample_rate``; or a tuple of these three.
        fps: Masks per second, for films.
        audio: ``require`` or ``silence``, see :class:`VideoSource`.
        name: For arrays, which have none.

    Returns:
        A source.

    Raises:
        MediaError: If a file cannot be used.
        TypeError: If the input is nothing of these.
        ValueError: If an array or an option is wrong.
    """
    if isinstance(item, (str, Path)):
        return folder_source(item, audio) if Path(item).is_dir() else VideoSource(item, fps, audio)
    if isinstance(item, tuple) and len(item) == 3:
        item = dict(zip(('frames', 'waveform', 'sample_rate'), item, strict=True))
    if isinstance(item, dict) and item.keys() >= {'frames', 'waveform', 'sample_rate'}:
        if item['waveform'] is None and audio == 'require':
            raise NoSoundError(f"{name} has no sound (waveform=None); pass audio='silence' to take it as silent.")
        return FrameSource(item['frames'], item['waveform'], item['sample_rate'], item.get('name', name), audio)
    raise TypeError(f'{type(item).__name__} is no input: give the path of a film, the path of a folder of frames with '
                    'a sound file, or (frames, waveform, sample_rate).')


def folder_source(folder: str | Path, audio: str = 'require') -> FrameSource:
    """A folder with the frames of a clip, one for each second, in the order of the numbers in their names.

    Raises:
        MediaError: If the folder has no picture, or not exactly one sound file.
    """
    folder = Path(folder)
    files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith('.')]
    frames = sorted((path for path in files if path.suffix.lower() in PICTURES), key=_natural)
    sounds = [path for path in files if path.suffix.lower() in SOUNDS]
    if not frames:
        raise MediaError(f'{folder} has no frames ({", ".join(PICTURES)}).')
    if len(sounds) > 1:
        raise MediaError(f'{folder} has {len(sounds)} sound files; exactly one is expected.')
    if not sounds and audio == 'require':
        raise NoSoundError(f"{folder} has no sound file ({', '.join(SOUNDS)}); pass audio='silence' to take it as "
                           'silent.')
    return FrameSource(frames, sounds[0] if sounds else None, name=folder.resolve().name, audio=audio)


def _natural(path: Path) -> list:
    return [(0, int(part), '') if part.isdigit() else (1, 0, part) for part in re.split(r'(\d+)', path.name)]
