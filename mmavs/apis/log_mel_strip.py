"""The strip under an overlay film: what the network hears, with a play-head.

The strip shows pages of ten seconds; the play-head runs from left to right, then the page turns.
"""

from fractions import Fraction

import numpy as np
from PIL import Image, ImageDraw

from mmavs.datasets.transforms import vggish_log_mel
from mmavs.visualization import log_mel_images
from mmavs.visualization.canvas import font

from .frame_painter import SMALLEST_LETTERS
from .sounds import Sound

PAGE_SECONDS = 10
# 10 ms a step.
STEPS_PER_SECOND = 100
EXAMPLE_STEPS = 96
HEAD_COLOUR = (255, 255, 255)
TICK_COLOUR = (200, 200, 200)


class LogMelStrip:
    """Paints the strip at any time, going forwards.

    Args:
        sound: The recording's sound; at least one page and a second of it must be kept.
        width: Pixels.
        height: Pixels.
    """

    def __init__(self, sound: Sound, width: int, height: int) -> None:
        self.sound, self.width, self.height = sound, width, height
        self._page, self._picture = -1, np.zeros((height, width, 3), np.uint8)

    def at(self, seconds: float | Fraction) -> np.ndarray:
        """The strip while second ``seconds`` is played.

        Returns:
            Shape (height, width, 3), uint8, RGB.
        """
        page = int(seconds // PAGE_SECONDS)
        if page != self._page:
            self._page, self._picture = page, self._paint(page)
        strip = self._picture.copy()
        middle = self.head(seconds)
        thick = max(1, self.width // 320)
        strip[:, max(0, middle - thick // 2):middle - thick // 2 + thick] = HEAD_COLOUR
        return strip

    def head(self, seconds: float | Fraction) -> int:
        """Column of the play-head."""
        return min(self.width - 1, int((seconds % PAGE_SECONDS) * self.width / PAGE_SECONDS))

    def _paint(self, page: int) -> np.ndarray:
        start = page * PAGE_SECONDS
        # One example more than fits: the front end drops what does not fill one.
        waveform = self.sound.read(start, start + PAGE_SECONDS + 1)
        steps = vggish_log_mel(waveform, self.sound.rate).reshape(1, -1, 64)[:, :PAGE_SECONDS * STEPS_PER_SECOND]
        picture = log_mel_images(steps, (self.height, self.width))[0]
        for second in range(PAGE_SECONDS):
            column = second * self.width // PAGE_SECONDS
            picture[:max(2, self.height // 12), column] = TICK_COLOUR
        if self.height >= 32 and self.width >= 160:
            image = Image.fromarray(picture)
            ImageDraw.Draw(image).text((4, self.height - 4), f'{start // 60}:{start % 60:02d}', TICK_COLOUR,
                                       font(max(SMALLEST_LETTERS, self.height // 4)), anchor='ls')
            picture = np.array(image)
        return picture
