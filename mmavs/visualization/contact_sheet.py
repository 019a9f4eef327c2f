"""One picture per clip: frames, ground truth, prediction, errors and sound, second by second.

Letters: T frames of a clip, H, W size of a frame in pixels, C classes.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from mmavs.visualization.canvas import Page, PictureRow
from mmavs.visualization.colours import (
    FALSE_ALARM_COLOUR,
    HIT_COLOUR,
    IGNORE_INDEX,
    MISSED_COLOUR,
    as_palette,
    log_mel_images,
)
from mmavs.visualization.highlight import class_legend, highlight
from mmavs.visualization.overlay import error_map, fit_mask

# Masks are drawn this many times larger and shrunk, so that their borders are smooth.
_SUPERSAMPLING = 2


def contact_sheet(frames: Sequence[np.ndarray] | np.ndarray,
                  gt: Sequence[np.ndarray] | np.ndarray | None = None,
                  pred: Sequence[np.ndarray] | np.ndarray | None = None,
                  log_mel: np.ndarray | None = None,
                  *,
                  title: str = '',
                  subtitle: str = '',
                  scores: Sequence[float | None] | None = None,
                  score_name: str = 'J',
                  classes: Sequence[str] | None = None,
                  palette: np.ndarray | Sequence | None = None,
                  with_errors: bool = True,
                  cell_width: int | None = None,
                  alpha: float = 0.6) -> np.ndarray:
    """Draw the contact sheet of one clip.

    Rows from top to bottom: frames; ground truth over the frames; prediction over the frames, with the score of each
    frame; error map; log-mel of each second. A row is left out when its array is None; the error map needs both
    masks. More than two classes are drawn in palette colours with a legend of the classes that occur, two classes in
    one colour.

    Args:
        frames: RGB pictures of one size. T of shape (H, W, 3), uint8.
        gt: Class index per pixel, 255 = no label; any size. Shape (T, h, w). Default None.
        pred: Class index per pixel; any size. Shape (T, h', w'). Default None.
        log_mel: VGGish examples as the network gets them. Shape (T, 1, 96, 64) = (frame, 1, 10 ms steps, mel bands).
        title: Large text, usually the clip's id.
        subtitle: Smaller text after the title, e.g. subset, split and category.
        scores: Score of each frame in percent, None or NaN where there is none; their mean stands at the top right.
        score_name: Name of the score. Default 'J'.
        classes: Names of the classes, background first. Default: ('background', 'sounding').
        palette: RGB colour of each class (C, 3), used when there are more than two classes.
        with_errors: Draw the error map. Default True.
        cell_width: Width of a landscape frame on the sheet in pixels; tall ones are scaled to at most 1.25 times this
            height. Default: 200 for up to 5 frames, 150 for up to 10, else 110.
        alpha: Weight of the mask colours. Default 0.6.

    Returns:
        RGB picture. Shape (height, width, 3), uint8.

    Raises:
        ValueError: If there are no frames, or ``gt``, ``pred``, ``log_mel`` or ``scores`` have another length.
    """
    num_frames = len(frames)
    if num_frames == 0:
        raise ValueError('frames is empty; a contact sheet needs at least one frame.')
    for name, value in (('gt', gt), ('pred', pred), ('log_mel', log_mel), ('scores', scores)):
        if value is not None and len(value) != num_frames:
            raise ValueError(f'{name} has {len(value)} entries, but there are {num_frames} frames.')
    classes = list(classes) if classes is not None else ['background', 'sounding']
    colours = as_palette(palette if len(classes) > 2 else None, len(classes))
    size = _cell_size(np.asarray(frames[0]).shape, num_frames, cell_width)
    big = tuple(side * _SUPERSAMPLING for side in size)
    large = [cv2.resize(np.asarray(frame), big[::-1], interpolation=cv2.INTER_AREA) for frame in frames]

    rows = [PictureRow('frame', [_shrink(frame, size) for frame in large])]
    if gt is not None:
        gt = [fit_mask(mask, big) for mask in gt]
        drawn = [highlight(*pictures, colours, alpha) for pictures in zip(large, gt, strict=True)]
        rows.append(PictureRow('ground truth', [_shrink(picture, size) for picture in drawn], _truth_captions(gt)))
    if pred is not None:
        pred = [fit_mask(mask, big) for mask in pred]
        drawn = [highlight(*pictures, colours, alpha) for pictures in zip(large, pred, strict=True)]
        captions = [_score_text(score_name, score) for score in scores] if scores is not None else None
        rows.append(PictureRow('prediction', [_shrink(picture, size) for picture in drawn], captions))
    if gt is not None and pred is not None and with_errors:
        drawn = [error_map(*pictures) for pictures in zip(large, gt, pred, strict=True)]
        rows.append(PictureRow('errors', [_shrink(picture, size) for picture in drawn]))
    if log_mel is not None:
        spectrum = (max(size[1] * 2 // 5, 32), size[1])
        rows.append(PictureRow('log-mel', log_mel_images(log_mel, spectrum), scale=('7.5 kHz', '125 Hz')))

    page = Page(title=title, subtitle=subtitle, result=_mean_text(score_name, scores), rows=rows,
                headers=[f'{second}\N{EN DASH}{second + 1} s' for second in range(num_frames)],
                legend=_legend(gt, pred, classes, colours, with_errors))
    return page.draw()


def _cell_size(shape: tuple[int, ...], num_frames: int, cell_width: int | None) -> tuple[int, int]:
    """(height, width) of a cell with the frame's proportions; frames taller than 4:5 get narrower cells."""
    if cell_width is None:
        cell_width = 200 if num_frames <= 5 else 150 if num_frames <= 10 else 110
    height = min(cell_width * shape[0] / shape[1], cell_width * 1.25)
    width = min(cell_width, height * shape[1] / shape[0])
    return max(8, round(height)), max(32, round(width))


def _shrink(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)


def _truth_captions(masks: Sequence[np.ndarray]) -> list[str] | None:
    """Name the frames where an empty picture has a meaning; None when there is no such frame."""
    captions = ['no label' if (mask == IGNORE_INDEX).all() else '' if (mask > 0).any() else 'silent' for mask in masks]
    return captions if any(captions) else None


def _is_number(score: float | None) -> bool:
    return score is not None and bool(np.isfinite(score))


def _score_text(name: str, score: float | None) -> str:
    return f'{name} {score:.1f}' if _is_number(score) else ''


def _mean_text(name: str, scores: Sequence[float | None] | None) -> str:
    known = [score for score in scores or () if _is_number(score)]
    return f'{name} {np.mean(known):.1f}' if known else ''


def _legend(gt: Sequence[np.ndarray] | None, pred: Sequence[np.ndarray] | None, classes: Sequence[str],
            colours: np.ndarray, with_errors: bool) -> list[tuple[Sequence[int], str]]:
    """Colours and names of the classes that occur, then those of the error map."""
    entries = class_legend([*(gt or ()), *(pred or ())], classes, colours)
    if gt is not None and pred is not None and with_errors:
        entries += [(HIT_COLOUR, 'hit'), (MISSED_COLOUR, 'missed'), (FALSE_ALARM_COLOUR, 'false alarm')]
    return entries
