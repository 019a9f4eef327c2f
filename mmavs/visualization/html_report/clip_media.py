"""The pictures and the sound of one clip of a report.

Letters: T frames, L layers (frame, truth, prediction, errors), H, W pixels.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from mmavs.visualization.colours import as_palette, log_mel_images
from mmavs.visualization.files import write_bytes
from mmavs.visualization.highlight import class_legend, highlight
from mmavs.visualization.html_report.sound import write_sound
from mmavs.visualization.overlay import error_map

MEDIA_FOLDER = 'media'
# Wide enough for a card on a screen with two pixels per CSS pixel.
THUMBNAILS_WIDTH = 640
_JPEG_QUALITY = 82
# Longest side that JPEG can store.
_JPEG_LIMIT = 65000
# 10 ms steps of an example and mel bands, each drawn as two pixels.
_LOG_MEL_SIZE = (128, 192)


@dataclass(frozen=True)
class ClipMedia:
    """What the page must know about the files of a clip.

    ``thumbnails.jpg`` and ``frames.jpg`` in the clip's folder are sheets without gaps: a column per frame, a row per
    layer. ``log_mel.jpg`` has the same columns.

    Attributes:
        video_id: Name of the clip.
        folder: Name of its folder below ``media/``.
        num_frames: T.
        width: Width of a frame in ``frames.jpg`` in pixels.
        height: Height of a frame in ``frames.jpg`` in pixels.
        layers: Rows of the sheets, from ``'frame'``, ``'truth'``, ``'prediction'`` and ``'errors'``.
        has_log_mel: Whether there is ``log_mel.jpg``.
        has_sound: Whether there is ``sound.wav``.
        category: Category of the clip, or None.
        classes: Name -> CSS colour of the classes that occur in truth or prediction; empty for two classes.
    """

    video_id: str
    folder: str
    num_frames: int
    width: int
    height: int
    layers: tuple[str, ...]
    has_log_mel: bool
    has_sound: bool
    category: str | None = None
    classes: Mapping[str, str] = field(default_factory=dict)


def media_name(video_id: str) -> str:
    """Folder name of a clip, valid on every file system and in a URL without escapes.

    The digits at the end keep ids apart that differ only in letter case or in characters that are replaced.
    """
    plain = re.sub(r'[^A-Za-z0-9_-]+', '_', video_id)[:60].strip('_-') or 'clip'
    return f'{plain}-{hashlib.sha1(video_id.encode()).hexdigest()[:8]}'


def write_clip_media(report_dir: str | Path, video_id: str, frames: Sequence[np.ndarray], *,
                     truth: np.ndarray | None = None, prediction: np.ndarray | None = None,
                     log_mel: np.ndarray | None = None, sound: np.ndarray | None = None, category: str | None = None,
                     classes: Sequence[str] | None = None, palette: Sequence | None = None,
                     frame_width: int = 640) -> ClipMedia:
    """Write the files of one clip to ``<report_dir>/media/<media_name(video_id)>/``.

    Args:
        report_dir: Folder of the report.
        video_id: Name of the clip.
        frames: RGB pictures of one size. T of shape (H, W, 3), uint8.
        truth: Class indices, 255 = no label. Shape (T, h, w). Default None: no such layer.
        prediction: Class indices. Shape (T, h', w'). Default None: no such layer.
        log_mel: VGGish examples. Shape (T, 1, 96, 64). Default None.
        sound: Mono samples at 16 kHz. Shape (n,). Default None.
        category: Category of the clip.
        classes: Names of the classes, background first. Default: two classes.
        palette: RGB colour of each class (C, 3), used when there are more than two classes.
        frame_width: Frames wider than this are shrunk to it. Default 640.

    Returns:
        The facts that :func:`write_page` needs.

    Raises:
        ValueError: If there are no frames or another array has another length.
    """
    if len(frames) == 0:
        raise ValueError(f'clip {video_id} has no frames.')
    for name, value in (('truth', truth), ('prediction', prediction), ('log_mel', log_mel)):
        if value is not None and len(value) != len(frames):
            raise ValueError(f'clip {video_id}: {name} has {len(value)} entries, but there are {len(frames)} frames.')
    named = classes is not None and len(classes) > 2
    frames = [_shrink_frame(frame, min(frame_width, _JPEG_LIMIT // len(frames))) for frame in frames]
    colours = as_palette(palette, len(classes)) if named else as_palette(None)
    layers = draw_layers(frames, truth, prediction, colours)
    masks = [mask for mask in (truth, prediction) if mask is not None]
    sheet = np.concatenate([np.concatenate(row, axis=1) for row in layers.values()])
    height, width = frames[0].shape[:2]
    name = media_name(video_id)
    folder = Path(report_dir) / MEDIA_FOLDER / name
    _write_jpeg(folder / 'frames.jpg', sheet)
    _write_jpeg(folder / 'thumbnails.jpg', _thumbnails(sheet, len(frames), len(layers)))
    if log_mel is not None:
        _write_jpeg(folder / 'log_mel.jpg', np.concatenate(log_mel_images(log_mel, _LOG_MEL_SIZE), axis=1))
    if sound is not None:
        write_sound(folder / 'sound.wav', sound)
    return ClipMedia(
        video_id=video_id, folder=name, num_frames=len(frames), width=width, height=height, layers=tuple(layers),
        has_log_mel=log_mel is not None, has_sound=sound is not None, category=category,
        classes={name: css_colour(colour) for colour, name in class_legend(masks, classes, colours)} if named else {})


def draw_layers(frames: Sequence[np.ndarray], truth: np.ndarray | None, prediction: np.ndarray | None,
                palette: np.ndarray) -> dict[str, list[np.ndarray]]:
    """The rows of a sheet by name, each T pictures of shape (H, W, 3), uint8; see :func:`write_clip_media`."""
    layers = {'frame': list(frames)}
    outline = max(1, round(frames[0].shape[1] / 200))
    for name, masks in (('truth', truth), ('prediction', prediction)):
        if masks is not None:
            layers[name] = [highlight(frame, mask, palette, outline=outline)
                            for frame, mask in zip(frames, masks, strict=True)]
    if truth is not None and prediction is not None:
        layers['errors'] = [error_map(*pictures) for pictures in zip(frames, truth, prediction, strict=True)]
    return layers


def css_colour(colour: Sequence[int]) -> str:
    """An RGB colour in CSS, e.g. ``rgb(0, 158, 115)``."""
    return f'rgb({", ".join(str(int(channel)) for channel in colour)})'


def _shrink_frame(frame: np.ndarray, width: int) -> np.ndarray:
    if frame.shape[1] <= width:
        return np.asarray(frame)
    height = max(1, round(frame.shape[0] * width / frame.shape[1]))
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)


def _thumbnails(sheet: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """The sheet with cells of whole pixels, at most ``THUMBNAILS_WIDTH`` wide (32 pixels per cell at least)."""
    height, width = sheet.shape[0] // rows, sheet.shape[1] // columns
    small = min(width, max(32, THUMBNAILS_WIDTH // columns))
    size = small * columns, max(1, round(height * small / width)) * rows
    return cv2.resize(sheet, size, interpolation=cv2.INTER_AREA)


def _write_jpeg(path: Path, picture: np.ndarray) -> None:
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    done, data = cv2.imencode('.jpg', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f'{path}: a picture of shape {picture.shape} cannot be encoded.')
    write_bytes(path, data.tobytes())
