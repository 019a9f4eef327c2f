"""Write a film of SoundingShapes for the video demo: shapes that move, some of which sound in each second.

Example: ``python demo/shapes_film.py shapes.mp4 --seconds 10 --size 640 360 --seed 3``
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mmavs.apis.film_writer import FilmWriter
from mmavs.datasets.sounding_shapes import KINDS
from mmavs.datasets.sounding_shapes.render import render_scene
from mmavs.datasets.sounding_shapes.scene import FRAME_OFFSET_SECONDS, Scene, SceneStyle, sample_scene, scene_sound

SOUND_RATE = 16_000


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line of the generator."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', help='film to write: .mp4, .mov, .mkv or .webm')
    parser.add_argument('--seconds', type=int, default=10, help='length of the film (default: %(default)s)')
    parser.add_argument('--size', type=int, nargs=2, default=(640, 360), metavar=('WIDTH', 'HEIGHT'),
                        help='pixels of the picture, at least 64 (default: 640 360)')
    parser.add_argument('--fps', type=int, default=25, help='pictures per second (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='which film (default: %(default)s)')
    return parser.parse_args(argv)


def scene_at(scene: Scene, seconds: float) -> Scene:
    """The scene at one moment, as a scene of one frame.

    Args:
        scene: Knows where the shapes are once a second, at second k + 15/16; between, they move straight. They rest
            before the first of these times and after the last.
        seconds: The moment.
    """
    place = float(np.clip(seconds - FRAME_OFFSET_SECONDS, 0, scene.style.num_frames - 1))
    before = int(place)
    after = min(before + 1, scene.style.num_frames - 1)
    centres, angles = ((1 - place + before) * knots[before] + (place - before) * knots[after]
                       for knots in (scene.centres, scene.angles))
    return replace(scene, style=replace(scene.style, num_frames=1), centres=centres[None], angles=angles[None])


def pictures(scene: Scene, fps: int, seed: int) -> Iterator[np.ndarray]:
    """The film's pictures. Each of shape (H, W, 3), uint8, RGB."""
    for index in range(scene.style.num_frames * fps):
        # The same draws each time: the same colours, ground, light and grain.
        frames, _ = render_scene(scene_at(scene, index / fps), np.random.default_rng(seed))
        yield np.ascontiguousarray(frames[0, ..., ::-1])


def write_shapes_film(out: str | Path, seconds: int = 10, size: tuple[int, int] = (360, 640), fps: int = 25,
                      seed: int = 0, progress: bool = False) -> Scene:
    """Write a film with its sound.

    Args:
        out: .mp4, .m4v, .mov, .mkv or .webm.
        seconds: Length. Default 10.
        size: (height, width) in pixels. Default (360, 640).
        fps: Pictures per second. Default 25.
        seed: Each seed gives another film. Default 0.
        progress: Show a progress bar. Default False.

    Returns:
        The scene: ``scene.sounding[k, s]`` says whether shape s sounds in second k.

    Raises:
        MediaError: If the film cannot be written.
        ValueError: If a number is too small.
    """
    import soundfile
    for name, value, least in (('seconds', seconds, 1), ('size', min(size), 64), ('fps', fps, 1), ('seed', seed, 0)):
        if value < least:
            raise ValueError(f'{name}={value} must be {least} or more.')
    rng = np.random.default_rng(seed)
    scene = sample_scene(SceneStyle(num_frames=seconds, size=tuple(size), kinds=KINDS), rng)
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / 'sound.wav'
        soundfile.write(sound, scene_sound(scene, rng), SOUND_RATE)
        with FilmWriter(out, tuple(size), Fraction(fps), sound_of=sound) as film:
            for index, picture in enumerate(tqdm(pictures(scene, fps, seed), total=seconds * fps, unit='frame',
                                                 disable=not progress)):
                film.write(picture, Fraction(index, fps))
    return scene


def main(argv: list[str] | None = None) -> int:
    """Write a film; returns the exit code."""
    args = parse_args(argv)
    try:
        write_shapes_film(args.out, args.seconds, (args.size[1], args.size[0]), args.fps, args.seed, progress=True)
    except (ValueError, OSError, ImportError) as error:
        print(f'shapes_film: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
