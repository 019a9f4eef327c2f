"""Masks over frames: plain functions of arrays, no mm types.

Letters: H, W size of a frame in pixels. Frames are RGB uint8, masks hold class indices; 0 is background and 255 means
"no label": neither is drawn.
"""

import cv2
import numpy as np

from mmavs.visualization.colours import (
    DARK_LINE,
    FALSE_ALARM_COLOUR,
    HIT_COLOUR,
    IGNORE_INDEX,
    LIGHT_LINE,
    MISSED_COLOUR,
    as_palette,
)


def overlay(frame: np.ndarray, mask: np.ndarray, palette: np.ndarray | list | tuple | None = None, alpha: float = 0.5,
            outline: int = 0, outline_colour: tuple[int, int, int] | None = None) -> np.ndarray:
    """Blend the colours of a mask over a frame.

    A pixel of class c > 0 becomes ``(1 - alpha) * frame + alpha * palette[c]``, rounded; all others stay as they are.

    Args:
        frame: RGB picture. Shape (H, W, 3), uint8.
        mask: Class index per pixel, bool or integer; resized by nearest neighbour if its size differs from the
            frame's. Shape (h, w).
        palette: One RGB colour for every class above 0, or one per class (C, 3). Default: amber.
        alpha: Weight of the colour, 0 to 1. Default 0.5.
        outline: Width in pixels of an opaque border inside each region. Default 0 (none).
        outline_colour: RGB colour of the borders. Default: the colour of the region's class.

    Returns:
        A new picture. Shape (H, W, 3), uint8.

    Raises:
        ValueError: If ``alpha`` is outside 0..1, a shape is wrong, or ``mask`` holds an index without a colour.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f'alpha={alpha} must lie in 0..1.')
    frame = _check_frame(frame)
    mask = _drawn_classes(fit_mask(mask, frame.shape[:2]))
    highest = int(mask.max(initial=0))
    palette = as_palette(palette, max(highest, 1) + 1)
    if len(palette) == 2:
        mask = np.minimum(mask, 1)
    elif highest >= len(palette):
        raise ValueError(f'mask holds class {highest}, but the palette has {len(palette)} colours.')
    result = frame.copy()
    if highest == 0:
        return result
    window = _window(mask, outline)
    shown, mask = result[window], mask[window]
    table = np.zeros((256, 1, 3), np.uint8)
    table[:len(palette), 0] = palette[:256]
    # OpenCV's look-up and masked copy: at 1080p several times as fast as indexing with NumPy.
    colours = cv2.LUT(cv2.merge([mask] * 3), table)
    cv2.copyTo(cv2.addWeighted(shown, 1 - alpha, colours, alpha, 0), mask, shown)
    if outline:
        border = (mask != 0) & region_borders(mask, outline)
        _fill(shown, border, colours if outline_colour is None else outline_colour)
    return result


def outline_regions(picture: np.ndarray, mask: np.ndarray, width: int) -> None:
    """Draw a white line inside the border of each region and a dark one outside, seen on grounds of any colour.

    Args:
        picture: RGB picture, drawn on in place. Shape (H, W, 3), uint8, contiguous.
        mask: Class index per pixel, of the picture's size. Shape (H, W), uint8.
        width: Pixels of the white line; the dark one has half of it, at least 1.

    Raises:
        ValueError: If the mask has another size.
    """
    if mask.shape != picture.shape[:2]:
        raise ValueError(f'mask has shape {mask.shape}, the picture {picture.shape[:2]}; they must be equal.')
    mask = _drawn_classes(mask)
    if not mask.any():
        return
    dark = max(1, width // 2)
    window = _window(mask, width)
    picture, mask = picture[window], mask[window]
    _fill(picture, (mask == 0) & (cv2.dilate(mask, _square(dark)) != 0), DARK_LINE)
    _fill(picture, (mask != 0) & region_borders(mask, width), LIGHT_LINE)


def error_map(frame: np.ndarray, truth: np.ndarray, prediction: np.ndarray, alpha: float = 0.75) -> np.ndarray:
    """Show where a prediction is right and wrong over the darkened grey frame.

    Hits (the right class) are green, missed truth is blue, false alarms are vermillion; a wrong class where
    something does sound is a false alarm. Pixels without a label are not judged.

    Args:
        frame: RGB picture. Shape (H, W, 3), uint8.
        truth: Class indices, 255 = no label. Shape (h, w).
        prediction: Class indices. Shape (h', w').
        alpha: Weight of the colours, 0 to 1. Default 0.75.

    Returns:
        Shape (H, W, 3), uint8.
    """
    frame = _check_frame(frame)
    truth, prediction = fit_mask(truth, frame.shape[:2]), fit_mask(prediction, frame.shape[:2])
    judged = truth != IGNORE_INDEX
    verdict = np.zeros(frame.shape[:2], np.uint8)
    verdict[judged & (truth > 0) & (prediction == truth)] = 1
    verdict[judged & (prediction > 0) & (prediction != truth)] = 2
    verdict[judged & (truth > 0) & (prediction == 0)] = 3
    colours = [(0, 0, 0), HIT_COLOUR, FALSE_ALARM_COLOUR, MISSED_COLOUR]
    return overlay(dim(frame, 0.55, 0), verdict, colours, alpha=alpha)


def dim(frame: np.ndarray, brightness: float = 0.6, saturation: float = 0.35) -> np.ndarray:
    """Take light and colour out of a frame, so that what is drawn over it stands out.

    Args:
        frame: RGB picture. Shape (H, W, 3), uint8.
        brightness: Factor on the result. Default 0.6.
        saturation: 1 keeps the colours, 0 gives grey. Default 0.35.

    Returns:
        ``brightness * (saturation * frame + (1 - saturation) * grey)``, rounded. Shape (H, W, 3), uint8.
    """
    grey = cv2.cvtColor(cv2.cvtColor(_check_frame(frame), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(frame, brightness * saturation, grey, brightness * (1 - saturation), 0)


def colour_mask(mask: np.ndarray, palette: np.ndarray | list | tuple | None = None) -> np.ndarray:
    """Paint a mask alone, as the paper's Fig. 6 and 7 do: background black, "no label" grey. Shape (H, W, 3)."""
    mask = fit_mask(mask, np.asarray(mask).shape)
    picture = overlay(np.zeros((*mask.shape, 3), np.uint8), mask, palette, alpha=1)
    picture[mask == IGNORE_INDEX] = 90
    return picture


def region_borders(mask: np.ndarray, width: int) -> np.ndarray:
    """Pixels at most ``width`` pixels away from another class; the picture's own edge is no border. Shape (H, W)."""
    mask = np.ascontiguousarray(mask, np.uint8)
    return (cv2.dilate(mask, _square(width)) != mask) | (cv2.erode(mask, _square(width)) != mask)


def fit_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring a mask to uint8 and to ``size`` = (height, width), by nearest neighbour.

    Raises:
        ValueError: If the mask is not a plane of class indices in 0..255.
    """
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise ValueError(f'mask has shape {mask.shape}; expected one plane (H, W).')
    if mask.dtype.kind == 'f' or (mask.dtype != bool and mask.size and not 0 <= mask.min() <= mask.max() <= 255):
        raise ValueError(f'mask has dtype {mask.dtype}; expected bool or class indices in 0..255.')
    mask = mask.astype(np.uint8)
    if mask.shape != tuple(size):
        mask = cv2.resize(mask, (size[1], size[0]), interpolation=cv2.INTER_NEAREST)
    return mask


def _drawn_classes(mask: np.ndarray) -> np.ndarray:
    """The mask with 0 where there is no label either."""
    return mask * (mask != IGNORE_INDEX)


def _window(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Rows and columns around all that is not 0, with a margin in pixels where the picture has one."""
    left, top, across, down = cv2.boundingRect(mask)
    return np.s_[max(0, top - margin):top + down + margin, max(0, left - margin):left + across + margin]


def _fill(picture: np.ndarray, where: np.ndarray, colours: np.ndarray | tuple[int, int, int]) -> None:
    """Set the pixels that are True in ``where``, in place: what ``picture[where] = ...`` does, but faster."""
    if np.ndim(colours) == 1:
        colours = cv2.merge([np.full(where.shape, value, np.uint8) for value in colours])
    cv2.copyTo(colours, where.view(np.uint8), picture)


def _square(reach: int) -> np.ndarray:
    return np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)


def _check_frame(frame: np.ndarray) -> np.ndarray:
    frame = np.asarray(frame)
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ValueError(f'frame has shape {frame.shape} and dtype {frame.dtype}; expected (H, W, 3) uint8, RGB.')
    return np.ascontiguousarray(frame)
