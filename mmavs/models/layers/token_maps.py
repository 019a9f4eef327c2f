"""Feature maps as channels-last tokens, and back.

Letters: N frames, D channels, h and w the size of one level, S tokens of a frame (the sum of h*w over its levels).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

LevelSizes = Sequence[tuple[int, int]]


def map_to_tokens(feature: Tensor) -> Tensor:
    """View a feature map as tokens, row by row; free of copies when the map's memory is channels last.

    Args:
        feature: Shape (N, D, h, w).

    Returns:
        Shape (N, h*w, D).
    """
    return feature.permute(0, 2, 3, 1).flatten(1, 2)


def tokens_to_map(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """View tokens as a feature map in channels-last memory.

    Args:
        tokens: Shape (N, h*w, D).
        size: (h, w).

    Returns:
        Shape (N, D, h, w).
    """
    return tokens.unflatten(1, tuple(size)).permute(0, 3, 1, 2)


def join_levels(features: Sequence[Tensor]) -> tuple[Tensor, tuple[tuple[int, int], ...]]:
    """Concatenate the levels of every frame.

    Args:
        features: One map for each level. Shapes (N, D, h_i, w_i).

    Returns:
        The tokens, shape (N, S, D), and the sizes ((h_0, w_0), ...).
    """
    tokens = [map_to_tokens(feature) for feature in features]
    sizes = tuple((feature.shape[2], feature.shape[3]) for feature in features)
    return (tokens[0] if len(tokens) == 1 else torch.cat(tokens, dim=1)), sizes


def split_levels(tokens: Tensor, sizes: LevelSizes) -> list[Tensor]:
    """Undo :func:`join_levels`; the maps are views.

    Args:
        tokens: Shape (N, S, D).
        sizes: ((h_0, w_0), ...).

    Returns:
        One map for each level. Shapes (N, D, h_i, w_i).

    Raises:
        ValueError: If the sizes do not add up to S.
    """
    counts = [h * w for h, w in sizes]
    if sum(counts) != tokens.shape[1]:
        raise ValueError(f'levels of sizes {tuple(sizes)} have {sum(counts)} tokens together, '
                         f'but the frames have {tokens.shape[1]}')
    return [tokens_to_map(part, size) for part, size in zip(tokens.split(counts, dim=1), sizes, strict=True)]
