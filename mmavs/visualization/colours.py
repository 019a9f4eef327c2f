"""Colours of masks, classes and spectrograms. Everything in this folder is RGB, as mmengine's visualisers expect."""

from functools import lru_cache

import numpy as np

from mmavs.structures.avss_classes import avss_palette

IGNORE_INDEX = 255
# Amber stands out from dimmed scenes and is told apart from the error colours with any kind of colour vision.
SOUNDING_COLOUR = (255, 190, 11)
# Okabe and Ito's palette for colour-blind readers: bluish green, vermillion, sky blue.
HIT_COLOUR = (0, 158, 115)
FALSE_ALARM_COLOUR = (213, 94, 0)
MISSED_COLOUR = (86, 180, 233)
# Borders over pictures of any colour: one of the two stands out from every ground.
LIGHT_LINE = (255, 255, 255)
DARK_LINE = (16, 16, 16)

# log(0 + 0.01): what the VGGish front end gives for digital silence.
LOG_MEL_SILENCE = float(np.log(0.01))


def as_palette(colours: np.ndarray | list | tuple | None, num_classes: int = 2) -> np.ndarray:
    """Bring one colour or a list of colours to a palette indexed by label.

    Args:
        colours: One RGB colour (the foreground; index 0 is black and never drawn), a list of RGB colours, or None for
            the default: the sounding colour when there are two classes, AVSBench's colours when there are more.
        num_classes: Number of classes, used when ``colours`` is None. Default 2.

    Returns:
        Shape (C, 3), uint8.

    Raises:
        ValueError: If ``colours`` has neither shape (3,) nor (C, 3).
    """
    if colours is None:
        colours = SOUNDING_COLOUR if num_classes <= 2 else avss_palette(num_classes)
    colours = np.asarray(colours, np.uint8)
    if colours.shape == (3,):
        return np.stack([np.zeros(3, np.uint8), colours])
    if colours.ndim != 2 or colours.shape[1] != 3:
        raise ValueError(f'palette has shape {colours.shape}; give one RGB colour (3,) or one per class (C, 3).')
    return colours


@lru_cache(maxsize=4)
def colour_map(name: str = 'magma') -> np.ndarray:
    """256 RGB steps of one of matplotlib's colour maps. Shape (256, 3), uint8, read-only."""
    # Not pyplot: importing it would look for a window system.
    from matplotlib import colormaps
    table = (colormaps[name](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
    table.setflags(write=False)
    return table


def log_mel_images(log_mel: np.ndarray, size: tuple[int, int], cmap: str = 'magma') -> list[np.ndarray]:
    """Paint the log-mel examples of a clip: time to the right, low frequencies at the bottom.

    All examples share one scale, from digital silence (log 0.01) to the clip's loudest value (at least 3 above
    silence, so that the noise floor of a silent clip stays dark).

    Args:
        log_mel: VGGish examples, 10 ms per time step. Shape (T, 1, 96, 64) or (T, 96, 64) = (frame, time, mel).
        size: (height, width) of each picture in pixels.
        cmap: Name of a matplotlib colour map. Default 'magma'.

    Returns:
        T RGB pictures of shape (height, width, 3), uint8.

    Raises:
        ValueError: If ``log_mel`` does not have one of these shapes.
    """
    import cv2
    log_mel = np.asarray(log_mel, np.float32)
    if log_mel.ndim == 4 and log_mel.shape[1] == 1:
        log_mel = log_mel[:, 0]
    if log_mel.ndim != 3:
        raise ValueError(f'log_mel has shape {log_mel.shape}; expected (T, 1, time, mel) or (T, time, mel).')
    top = max(float(log_mel.max(initial=LOG_MEL_SILENCE)), LOG_MEL_SILENCE + 3)
    level = (log_mel - LOG_MEL_SILENCE) / (top - LOG_MEL_SILENCE)
    level = (level.clip(0, 1) * 255).round().astype(np.uint8)
    table = colour_map(cmap)
    pictures = []
    for example in level:
        grey = cv2.resize(example.T[::-1].copy(), (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
        pictures.append(table[grey])
    return pictures
