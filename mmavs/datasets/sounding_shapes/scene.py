"""What happens in a clip: which shapes there are, how they move, and which of them sound in each second.

Letters: T frames (one a second), S visible shapes.
"""

from dataclasses import dataclass

import numpy as np

from .timbre import background_noise, source_sound

# Frame k shows the scene at this time (the last of 16 frames of second k), as in AVSBench.
FRAME_OFFSET_SECONDS = 0.9375


@dataclass(frozen=True)
class SceneStyle:
    """How clips are drawn.

    Attributes:
        num_frames (int): T, frames and seconds.
        size (tuple[int]): (H, W) in pixels.
        kinds (tuple[str]): The kinds of shapes to choose from.
        num_shapes (tuple[int]): Fewest and most visible shapes.
        radius (tuple[float]): Smallest and largest radius as a share of the smaller side.
        single_source (bool): One visible shape sounds throughout the clip, and nothing else.
        change_probability (float): That the one or two that sound are drawn anew at the border of two
            seconds.
        silent_probability (float): That a drawn subset is empty.
        offscreen_probability (float): That only a kind is heard which is not in the picture.
        loudness (tuple[float]): RMS range of a source, in dB below full scale.
        noise (tuple[float]): RMS range of the background noise, in dB below full scale.
    """

    num_frames: int
    size: tuple[int, int]
    kinds: tuple[str, ...]
    num_shapes: tuple[int, int] = (2, 4)
    radius: tuple[float, float] = (0.11, 0.18)
    single_source: bool = False
    change_probability: float = 0.6
    silent_probability: float = 0.07
    offscreen_probability: float = 0.07
    loudness: tuple[float, float] = (-30.0, -16.0)
    noise: tuple[float, float] = (-66.0, -48.0)


@dataclass(frozen=True)
class Scene:
    """One clip, before it is painted.

    Attributes:
        style (SceneStyle): What it was drawn from.
        kinds (list[str]): Kinds of the S visible shapes, from back to front; all different.
        radius (np.ndarray): Shape (S,), pixels.
        centres (np.ndarray): (x, y) at each frame's time, shape (T, S, 2), pixels.
        angles (np.ndarray): Turn at each frame's time, shape (T, S), radians.
        sounding (np.ndarray): Shape (T, S), bool: shape s sounds in second k.
        offscreen_kind (str): A kind that is not in the picture.
        offscreen (np.ndarray): Shape (T,), bool: the off-screen kind sounds in second k.
    """

    style: SceneStyle
    kinds: list[str]
    radius: np.ndarray
    centres: np.ndarray
    angles: np.ndarray
    sounding: np.ndarray
    offscreen_kind: str
    offscreen: np.ndarray


def sample_scene(style: SceneStyle, rng: np.random.Generator) -> Scene:
    """Draws a scene; the same style and generator state give the same scene."""
    lowest, highest = style.num_shapes
    # The larger of two draws: crowded scenes are the common ones, so sight alone is worth little.
    count = int(rng.integers(lowest, highest + 1, size=2).max())
    kinds = [style.kinds[i] for i in rng.permutation(len(style.kinds))[:count + 1]]
    visible, offscreen_kind = kinds[:count], kinds[count]
    radius = rng.uniform(*style.radius, size=count) * min(style.size)
    times = np.arange(style.num_frames) + FRAME_OFFSET_SECONDS
    angles = rng.uniform(-0.35, 0.35, size=count) + np.outer(times, rng.uniform(-0.06, 0.06, size=count))
    sounding, offscreen = _schedule(style, count, rng)
    return Scene(style=style, kinds=visible, radius=radius, centres=_sample_motion(style, radius, times, rng),
                 angles=angles, sounding=sounding, offscreen_kind=offscreen_kind, offscreen=offscreen)


def _sample_motion(style: SceneStyle, radius: np.ndarray, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Straight paths that bounce off the borders; of 40 draws the first, or the best, with little occlusion."""
    height, width = style.size
    best, best_gap = None, -np.inf
    for _ in range(40):
        low = 0.9 * radius[:, None].repeat(2, axis=1)
        high = np.array([width, height]) - low
        start = rng.uniform(low, high)
        speed = rng.uniform(0.02, 0.12, size=len(radius)) * min(style.size)
        heading = rng.uniform(0, 2 * np.pi, size=len(radius))
        velocity = np.stack([np.cos(heading), np.sin(heading)], axis=1) * speed[:, None]
        span = high - low
        travelled = np.mod(start - low + velocity * times[:, None, None], 2 * span)
        centres = low + np.minimum(travelled, 2 * span - travelled)
        distance = np.linalg.norm(centres[:, :, None] - centres[:, None], axis=-1)
        reach = radius[:, None] + radius[None]
        gap = (distance / reach + 9 * np.eye(len(radius))).min()
        if gap > best_gap:
            best, best_gap = centres, gap
        # Centres 0.75 of the two radii apart: the shape behind keeps well over half of its area.
        if gap >= 0.75:
            break
    return best


def _schedule(style: SceneStyle, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Which of the ``count`` shapes, and whether the off-screen kind, sound in each second: (T, S) and (T,) bool."""
    sounding = np.zeros((style.num_frames, count), dtype=bool)
    offscreen = np.zeros(style.num_frames, dtype=bool)
    if style.single_source:
        sounding[:, rng.integers(count)] = True
        return sounding, offscreen
    for second in range(style.num_frames):
        if second and rng.random() >= style.change_probability:
            sounding[second], offscreen[second] = sounding[second - 1], offscreen[second - 1]
            continue
        draw = rng.random()
        if draw < style.silent_probability:
            continue
        if draw < style.silent_probability + style.offscreen_probability:
            offscreen[second] = True
            continue
        sources = 2 if rng.random() < 0.35 else 1
        sounding[second, rng.permutation(count)[:max(1, min(sources, count - 1))]] = True
        offscreen[second] = rng.random() < style.offscreen_probability
    return sounding, offscreen


def scene_sound(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """The clip's sound at 16 kHz: every source at its own loudness and pitch, over background noise.

    Args:
        scene (Scene): A drawn scene.
        rng (np.random.Generator): Source of loudness, pitch and noise.

    Returns:
        np.ndarray: Shape (T * 16000,), float, within [-0.99, 0.99].
    """
    style = scene.style
    wave = background_noise(style.num_frames, rng.uniform(*style.noise), rng)
    tracks = [(kind, scene.sounding[:, i]) for i, kind in enumerate(scene.kinds)]
    for kind, active in [*tracks, (scene.offscreen_kind, scene.offscreen)]:
        if active.any():
            wave = wave + source_sound(kind, active, rng.uniform(*style.loudness), rng.uniform(0.95, 1.05), rng)
    return wave * min(1.0, 0.99 / np.abs(wave).max())
