"""A page of picture rows with labels: the layout under contact sheets, feature maps and comparison figures."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

INK = (28, 32, 38)
FAINT = (112, 120, 131)
PAPER = (255, 255, 255)


@dataclass
class PictureRow:
    """One row of a page.

    Attributes:
        label: Name at the left of the row.
        pictures: One RGB picture per column, all of one size; None leaves a grey cell. Each (H, W, 3), uint8.
        captions: A short text under each picture, '' for none; None: the row has no caption line.
        scale: Names of the top and the bottom of the vertical axis, for rows that have one (log-mel).
        framed: Draw a thin grey line around each picture, for pictures that may be as white as the page.
    """

    label: str
    pictures: Sequence[np.ndarray | None]
    captions: Sequence[str] | None = None
    scale: tuple[str, str] | None = None
    framed: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the row's cells."""
        return next(picture.shape[:2] for picture in self.pictures if picture is not None)


@dataclass
class Page:
    """Rows of pictures under a title; :meth:`draw` gives the picture of the whole page.

    Attributes:
        title: Large text at the top left, e.g. the clip's id.
        subtitle: Smaller text after it.
        result: Text at the top right, e.g. the clip's score.
        headers: A text above each column, '' for none.
        rows: The rows, from top to bottom.
        legend: (colour, name) pairs at the foot of the page; wrapped to the page's width.
        gap: Pixels between cells. Default 6.
        margin: Pixels around the page. Default 20.
    """

    title: str = ''
    subtitle: str = ''
    result: str = ''
    headers: Sequence[str] = ()
    rows: Sequence[PictureRow] = ()
    legend: Sequence[tuple[Sequence[int], str]] = field(default_factory=list)
    gap: int = 6
    margin: int = 20

    @property
    def gutter(self) -> int:
        """Width in pixels of the column of row labels at the left."""
        widest = max(text_width(row.label, 13) for row in self.rows)
        axes = [text_width(name, 10) for row in self.rows for name in row.scale or ()]
        return max([widest, *axes]) + 14

    @property
    def width(self) -> int:
        """Width of the page in pixels; grows beyond the pictures when the title line needs it."""
        columns = max(len(row.pictures) for row in self.rows)
        pictures = columns * (self.rows[0].size[1] + self.gap) - self.gap
        head = text_width(self.title, 18, True) + text_width(self.subtitle, 13) + text_width(self.result, 16, True) + 44
        return 2 * self.margin + max(self.gutter + pictures, head)

    def cell(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Place of one picture on the page: (left, top, right, bottom) in pixels, right and bottom exclusive."""
        top = self.margin + (36 if self.title or self.result else 0) + (20 if any(self.headers) else 0)
        for above in self.rows[:row]:
            top += above.size[0] + self._caption_height(above)
        height, width = self.rows[row].size
        left = self.margin + self.gutter + column * (width + self.gap)
        return left, top, left + width, top + height

    def draw(self) -> np.ndarray:
        """Draw the page.

        Returns:
            RGB picture. Shape (height, width, 3), uint8.

        Raises:
            ValueError: If the page has no pictures or the pictures of one row differ in size.
        """
        self._check()
        legend = self._place_legend()
        last = len(self.rows) - 1
        bottom = self.cell(last, 0)[3] + self._caption_height(self.rows[last]) - self.gap
        height = bottom + (10 + 22 * (legend[-1][1] + 1) if legend else 0) + self.margin
        image = Image.new('RGB', (self.width, height), PAPER)
        pen = ImageDraw.Draw(image)
        self._draw_head(pen)
        for index, row in enumerate(self.rows):
            self._draw_row(image, pen, index, row)
        for (x, line), (colour, name) in zip(legend, self.legend, strict=True):
            y = bottom + 10 + 22 * line
            pen.rounded_rectangle((x, y + 3, x + 13, y + 16), 3, fill=tuple(int(c) for c in colour))
            pen.text((x + 20, y + 10), name, INK, font(12), anchor='lm')
        return np.asarray(image)

    def _check(self) -> None:
        if not self.rows or all(picture is None for row in self.rows for picture in row.pictures):
            raise ValueError('a page needs at least one row with one picture.')
        for row in self.rows:
            sizes = {picture.shape[:2] for picture in row.pictures if picture is not None}
            if len(sizes) != 1:
                raise ValueError(f'the pictures of row {row.label!r} must have one size, found {sorted(sizes)}.')

    def _caption_height(self, row: PictureRow) -> int:
        return (20 if row.captions is not None else 0) + self.gap

    def _place_legend(self) -> list[tuple[int, int]]:
        """(x, line) of each legend entry."""
        places, x, line, start = [], 0, 0, self.margin + self.gutter
        x = start
        for _, name in self.legend:
            width = 20 + text_width(name, 12)
            if x > start and x + width > self.width - self.margin:
                x, line = start, line + 1
            places.append((x, line))
            x += width + 18
        return places

    def _draw_head(self, pen: ImageDraw.ImageDraw) -> None:
        y = self.margin + 12
        pen.text((self.margin, y), self.title, INK, font(18, True), anchor='lm')
        x = self.margin + text_width(self.title, 18, True) + (12 if self.title else 0)
        pen.text((x, y + 1), self.subtitle, FAINT, font(13), anchor='lm')
        pen.text((self.width - self.margin, y), self.result, INK, font(16, True), anchor='rm')
        for column, header in enumerate(self.headers):
            left, top, right, _ = self.cell(0, column)
            pen.text(((left + right) // 2, top - 11), header, FAINT, font(12), anchor='mm')

    def _draw_row(self, image: Image.Image, pen: ImageDraw.ImageDraw, index: int, row: PictureRow) -> None:
        for column, picture in enumerate(row.pictures):
            left, top, right, bottom = self.cell(index, column)
            if picture is None:
                pen.rectangle((left, top, right - 1, bottom - 1), fill=(236, 238, 241))
            else:
                image.paste(Image.fromarray(picture), (left, top))
                if row.framed:
                    # Beside the picture, in the gap between the cells.
                    pen.rectangle((left - 1, top - 1, right, bottom), outline=FAINT)
            if row.captions is not None and row.captions[column]:
                pen.text(((left + right) // 2, bottom + 11), row.captions[column], INK, font(12), anchor='mm')
        left, top, _, bottom = self.cell(index, 0)
        pen.text((left - 12, (top + bottom) // 2), row.label, INK, font(13), anchor='rm')
        if row.scale is not None:
            pen.text((left - 12, top + 1), row.scale[0], FAINT, font(10), anchor='rt')
            pen.text((left - 12, bottom - 1), row.scale[1], FAINT, font(10), anchor='rb')


@lru_cache(maxsize=32)
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans in ``size`` pixels. It comes with matplotlib, so every machine has the same one."""
    import matplotlib
    name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / name), size)


def text_width(text: str, size: int, bold: bool = False) -> int:
    """Width of ``text`` in pixels."""
    return int(np.ceil(font(size, bold).getlength(text)))
