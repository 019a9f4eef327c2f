"""Turn a short film into an animated GIF, e.g. for a README; its sound is lost.

Example: ``python demo/film_to_gif.py out.mp4 out.gif --fps 5``
"""

import argparse
import sys
from pathlib import Path

from PIL import Image

from mmavs.apis.video_reader import VideoReader


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line of the converter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('film', help='film of a few seconds')
    parser.add_argument('out', help='GIF to write')
    parser.add_argument('--fps', type=float, default=5, help='pictures per second, up to 50 (default: %(default)s)')
    parser.add_argument('--colours', type=int, default=96, help='colours, 2 to 256 (default: %(default)s)')
    parser.add_argument('--width', type=int, help="pixels (default: the film's)")
    return parser.parse_args(argv)


def film_to_gif(film: str | Path, out: str | Path, fps: float = 5, colours: int = 96, width: int | None = None) -> int:
    """Write the GIF.

    Args:
        film: Every picture of the GIF is held in memory, so it should be short.
        out: The GIF.
        fps: Pictures per second, above 0 and up to 50. Default 5.
        colours: Size of the palette that all pictures share, 2 to 256. Default 96.
        width: Pixels. Default None: the film's.

    Returns:
        Number of pictures.

    Raises:
        MediaError: If the film cannot be read.
        ValueError: If ``fps`` or ``colours`` is out of its range.
    """
    if not 0 < fps <= 50 or not 2 <= colours <= 256:
        raise ValueError(f'fps={fps:g} must lie in 0..50 and colours={colours} in 2..256.')
    pictures = []
    for frame in VideoReader(film):
        if frame.seconds * fps >= len(pictures):
            picture = Image.fromarray(frame.rgb())
            pictures.append(picture if width is None else picture.resize(
                (width, round(width * picture.height / picture.width)), Image.Resampling.LANCZOS))
    # One palette and no dithering: what does not change between two pictures is stored once.
    palette = _page(pictures).quantize(colours, Image.Quantize.MEDIANCUT)
    first, *rest = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    first.save(out, 'GIF', save_all=True, append_images=rest, duration=1000 / fps, loop=0, optimize=True)
    return len(pictures)


def _page(pictures: list[Image.Image]) -> Image.Image:
    """Up to eight of the pictures above each other, whose colours stand for all."""
    some = pictures[::max(1, len(pictures) // 8)][:8]
    page = Image.new('RGB', (some[0].width, some[0].height * len(some)))
    for index, picture in enumerate(some):
        page.paste(picture, (0, index * picture.height))
    return page


def main(argv: list[str] | None = None) -> int:
    """Convert a film; returns the exit code."""
    args = parse_args(argv)
    try:
        count = film_to_gif(args.film, args.out, args.fps, args.colours, args.width)
    except (ValueError, OSError, ImportError) as error:
        print(f'film_to_gif: {error}', file=sys.stderr)
        return 1
    print(f'{args.out}: {count} pictures, {Path(args.out).stat().st_size / 1e6:.2f} MB.')
    return 0


if __name__ == '__main__':
    sys.exit(main())
