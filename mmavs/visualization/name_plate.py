"""The name of a class on a plate that can be read over any picture."""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from mmavs.visualization.canvas import font, text_width
from mmavs.visualization.colours import DARK_LINE, LIGHT_LINE


@lru_cache(maxsize=256)
def name_plate(name: str, colour: tuple[int, int, int], size: int) -> np.ndarray:
    """A dark plate with a swatch of the class's colour in a light frame, and its name.

    Args:
        name: Text.
        colour: RGB colour of the swatch.
        size: Height of the letters in pixels (of the font, from the lowest to the highest).

    Returns:
        RGB picture, read-only. Shape (about 1.4 * size, width, 3), uint8.
    """
    height = round(1.4 * size)
    gap = max(2, size // 5)
    swatch = height - 2 * gap
    image = Image.new('RGB', (3 * gap + swatch + text_width(name, size) + gap, height), DARK_LINE)
    pen = ImageDraw.Draw(image)
    pen.rectangle((gap, gap, gap + swatch - 1, gap + swatch - 1), fill=colour, outline=LIGHT_LINE,
                  width=max(1, size // 12))
    pen.text((2 * gap + swatch + gap // 2, height / 2), name, LIGHT_LINE, font(size), anchor='lm')
    plate = np.asarray(image)
    plate.setflags(write=False)
    return plate
