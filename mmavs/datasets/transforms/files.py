"""Reads frames and masks, and says in one sentence what is wrong with a file that cannot be used."""

import io
import struct
import zlib
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image

from mmavs.datasets.errors import DataFileError
from mmavs.structures import avss_palette

_DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error,
                  Image.DecompressionBombError)


def read_bytes(path: str) -> bytes:
    """The content of a file.

    Raises:
        DataFileError: The file is missing, empty or not readable.
    """
    try:
        with open(path, 'rb') as file:
            content = file.read()
    except FileNotFoundError:
        raise DataFileError(f'{path} does not exist.') from None
    except OSError as error:
        raise DataFileError(f'{path} cannot be read: {error.strerror or error}.') from None
    if not content:
        raise DataFileError(f'{path} is empty (0 bytes).')
    return content


def open_image(path: str) -> Image.Image:
    """A fully decoded picture of a mode that has 8 bits or 1 bit per channel."""
    content = read_bytes(path)
    try:
        image = Image.open(io.BytesIO(content))
        image.load()
    except _DECODE_ERRORS as error:
        raise DataFileError(f'{path} is damaged or no picture ({len(content)} bytes): {error}.') from None
    if image.mode not in ('1', 'L', 'LA', 'P', 'PA', 'RGB', 'RGBA', 'CMYK', 'YCbCr'):
        raise DataFileError(f'{path} has the pixel format {image.mode!r}; expected 8 bits per channel '
                            '(modes 1, L, P or RGB).')
    return image


def read_frame(path: str) -> np.ndarray:
    """A frame of a video.

    Args:
        path (str): PNG or JPEG file.

    Returns:
        np.ndarray: Shape (H, W, 3), uint8, BGR.

    Raises:
        DataFileError: The file cannot be used; the message names it.
    """
    return cv2.cvtColor(np.asarray(open_image(path).convert('RGB')), cv2.COLOR_RGB2BGR)


def read_binary_mask(path: str, other_values: str = 'raise') -> np.ndarray:
    """Where something sounds, from any of the formats that AVSBench's S4 and MS3 masks come in.

    Foreground is any channel above 0. The brightest channels of modes L and RGB must be 0 and 1, or 0 and 255; modes 1
    and P may paint the foreground in any one brightness, which their palette chooses.

    Args:
        path (str): PNG file of mode 1, L, P or RGB.
        other_values (str): What to do with other values: ``raise``, or ``threshold``, which takes 128 and above as
            foreground. Defaults to ``raise``: where {0, 1} and {0, 255} are all that is published, other values say
            that the file is no mask or was spoiled, and no threshold is right for both.

    Returns:
        np.ndarray: Shape (H, W), uint8: 0 or 1.

    Raises:
        DataFileError: The file cannot be used; the message names it.
    """
    image = open_image(path)
    if image.mode in ('1', 'L', 'LA'):
        brightest = np.asarray(image.convert('L'))
    else:
        brightest = np.asarray(image.convert('RGB')).max(axis=2)
    levels = np.flatnonzero(np.bincount(brightest.ravel())[1:]) + 1
    painted = image.mode in ('1', 'P', 'PA')
    if len(levels) <= 1 and (painted or set(levels.tolist()) <= {1, 255}):
        return (brightest > 0).astype(np.uint8)
    if other_values == 'threshold':
        return (brightest >= 128).astype(np.uint8)
    shown = ', '.join(map(str, levels[:3])) + (f' and {len(levels) - 3} more' if len(levels) > 3 else '')
    raise DataFileError(f'{path} (mode {image.mode}) holds the values {shown} beside 0; a binary mask holds 0 and 1, '
                        "or 0 and 255: restore it, or set LoadClipMasks(other_values='threshold') to read 128 and "
                        'above as foreground.')


def read_index_mask(path: str, num_classes: int = 71) -> np.ndarray:
    """AVSS classes from a mask that holds class indices (``labels_semantic``).

    Args:
        path (str): PNG file of mode L or P, or RGB with three equal channels.
        num_classes (int): Indices from here up are refused. Defaults to 71.

    Returns:
        np.ndarray: Shape (H, W), uint8: 0..70.

    Raises:
        DataFileError: The file cannot be used; the message names it and the first wrong value.
    """
    image = open_image(path)
    if image.mode == 'P':
        indices = np.asarray(image)
    else:
        channels = np.asarray(image.convert('RGB'))
        if (channels != channels[..., :1]).any():
            raise DataFileError(f'{path} holds colours; masks in labels_semantic hold class indices in one channel.')
        indices = channels[..., 0]
    highest = int(indices.max(initial=0))
    if highest >= num_classes:
        raise DataFileError(f'{path} holds the class index {highest}; indices run from 0 to {num_classes - 1}.')
    return np.array(indices, dtype=np.uint8)


def read_palette_mask(path: str, num_classes: int = 71) -> np.ndarray:
    """AVSS classes from a mask that is painted with the palette (``labels_rgb``).

    Args:
        path (str): PNG file; its colours must be those of ``avss_palette``.
        num_classes (int): Number of colours. Defaults to 71.

    Returns:
        np.ndarray: Shape (H, W), uint8: 0..70.

    Raises:
        DataFileError: The file cannot be used; the message names it and the first colour outside the palette.
    """
    colours = np.asarray(open_image(path).convert('RGB')).astype(np.int32)
    codes = colours[..., 0] << 16 | colours[..., 1] << 8 | colours[..., 2]
    indices = _palette_lookup(num_classes)[codes]
    unknown = indices == 255
    if unknown.any():
        colour = tuple(int(value) for value in colours[unknown][0])
        raise DataFileError(f'{path} holds the colour {colour} (RGB), which none of the {num_classes} classes has, in '
                            f'{int(unknown.sum())} pixels.')
    return indices


@lru_cache(maxsize=2)
def _palette_lookup(num_classes: int) -> np.ndarray:
    """Class of each 24-bit colour, 255 for colours outside the palette. Shape (2**24,), uint8."""
    lookup = np.full(1 << 24, 255, dtype=np.uint8)
    palette = avss_palette(num_classes).astype(np.int32)
    lookup[palette[:, 0] << 16 | palette[:, 1] << 8 | palette[:, 2]] = np.arange(num_classes)
    return lookup


MASK_READERS = {'binary': read_binary_mask, 'index': read_index_mask, 'palette': read_palette_mask}
