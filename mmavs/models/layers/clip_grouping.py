"""Work on a batch of clips that is concatenated along time, without padding.

Letters: N frames in the batch, B clips of one length, T frames of a clip.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def check_clip_lengths(clip_lengths: Sequence[int] | None, num_frames: int) -> list[int]:
    """Fill in and check the clip lengths of a batch.

    Args:
        clip_lengths: Frames of each clip, in the order of the batch. None: every frame is a clip of one.
        num_frames: Frames in the batch, N.

    Returns:
        The clip lengths as ints; they sum to ``num_frames``.

    Raises:
        ValueError: If a length is below 1 or the lengths do not sum to ``num_frames``.
    """
    if clip_lengths is None:
        return [1] * num_frames
    lengths = [int(length) for length in clip_lengths]
    if any(length < 1 for length in lengths) or sum(lengths) != num_frames:
        raise ValueError(f'clip_lengths must be positive and sum to the {num_frames} frames of the batch, '
                         f'but got {lengths} (sum {sum(lengths)})')
    return lengths


def map_clips(function: Callable[..., Tensor], *frames: Tensor, clip_lengths: Sequence[int] | None) -> Tensor:
    """Apply a function to whole clips, all clips of one length together.

    A clip's result never depends on the other clips of the batch, and no frame is padded. When all clips are equally
    long, which is the usual case, the inputs are only viewed differently and nothing is copied.

    Args:
        function: Takes one tensor of shape (B, T, ...) for each of ``frames`` and returns one of shape (B, T, ...).
        frames: Tensors of shape (N, ...).
        clip_lengths: Frames of each clip; None: every frame is a clip of one.

    Returns:
        The results in the order of the batch. Shape (N, ...).

    Raises:
        ValueError: If the lengths do not sum to N.
    """
    lengths = check_clip_lengths(clip_lengths, frames[0].shape[0])
    if len(set(lengths)) == 1:
        return function(*(x.unflatten(0, (-1, lengths[0])) for x in frames)).flatten(0, 1)

    clips = [x.split(lengths) for x in frames]
    results: dict[int, Tensor] = {}
    for length in sorted(set(lengths)):
        own = [i for i, other in enumerate(lengths) if other == length]
        results.update(zip(own, function(*(torch.stack([x[i] for i in own]) for x in clips)), strict=True))
    return torch.cat([results[i] for i in range(len(lengths))])
