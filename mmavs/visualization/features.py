"""Principal components of feature maps over frames (the paper's Fig. 9).

Letters: N frames, C channels, h, w size of a feature map, H, W size of a frame in pixels, P components.
"""

import cv2
import numpy as np
import torch
from torch import Tensor

from mmavs.visualization.colours import colour_map


def principal_components(features: Tensor, num_components: int = 1) -> Tensor:
    """Project the channels of feature maps on their first principal components.

    The components are those of all pixels of all frames together, so that one colour means the same in each frame.
    The sign of a component is arbitrary; it is chosen so that the values have positive skewness: few pixels stand out
    upwards from many.

    Args:
        features: Shape (N, C, h, w).
        num_components: P, at most C and at most the number of pixels. Default 1.

    Returns:
        Scores. Shape (N, P, h, w), float32.

    Raises:
        ValueError: If ``features`` is no (N, C, h, w) map or ``num_components`` is out of range.
    """
    if features.dim() != 4:
        raise ValueError(f'features have shape {tuple(features.shape)}; expected (N, C, h, w).')
    num, channels, height, width = features.shape
    pixels = num * height * width
    if not 1 <= num_components <= min(channels, pixels):
        raise ValueError(f'num_components={num_components} must lie in 1..{min(channels, pixels)} for features of '
                         f'{channels} channels and {pixels} pixels.')
    rows = features.detach().permute(0, 2, 3, 1).reshape(-1, channels).double()
    rows = rows - rows.mean(dim=0)
    _, vectors = torch.linalg.eigh(rows.T @ rows)
    scores = rows @ vectors[:, -num_components:].flip(1)
    signs = torch.where((scores**3).sum(dim=0) < 0, -1.0, 1.0)
    return (scores * signs).view(num, height, width, -1).permute(0, 3, 1, 2).float()


def feature_overlay(frames: list[np.ndarray], scores: Tensor, factor: float = 0.7,
                    cmap: str = 'turbo') -> list[np.ndarray]:
    """Lay principal components over frames: ``(1 - factor) * frame + factor * colour``.

    One component is shown through a colour map, three as red, green and blue. Values are scaled over all frames from
    their 1st to their 99th percentile.

    Args:
        frames: RGB pictures. N of shape (H, W, 3), uint8.
        scores: Components of the feature maps. Shape (N, P, h, w) with P = 1 or 3.
        factor: Weight of the colours, 0 to 1. Default 0.7, as the paper.
        cmap: Name of a matplotlib colour map for P = 1. Default 'turbo'.

    Returns:
        N RGB pictures of shape (H, W, 3), uint8.

    Raises:
        ValueError: If P is neither 1 nor 3 or the numbers of frames differ.
    """
    if len(frames) != len(scores) or scores.shape[1] not in (1, 3):
        raise ValueError(f'scores have shape {tuple(scores.shape)}; expected ({len(frames)}, 1 or 3, h, w) for '
                         f'{len(frames)} frames.')
    values = scores.permute(0, 2, 3, 1).numpy()
    low, high = np.percentile(values, [1, 99], axis=(0, 1, 2))
    values = ((values - low) / np.maximum(high - low, 1e-12)).clip(0, 1).astype(np.float32)
    pictures = []
    for frame, value in zip(frames, values, strict=True):
        size = frame.shape[1::-1]
        level = (cv2.resize(value, size, interpolation=cv2.INTER_CUBIC).clip(0, 1) * 255).round().astype(np.uint8)
        colours = colour_map(cmap)[level] if level.ndim == 2 else level
        pictures.append(cv2.addWeighted(frame, 1 - factor, np.ascontiguousarray(colours), factor, 0))
    return pictures
