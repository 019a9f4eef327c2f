"""Stochastic depth for residual branches on the tokens of several levels and clips."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmavs.utils.arguments import check_number


class DropPath(nn.Module):
    """Drop a residual branch at random in training (Huang et al., "Deep Networks with Stochastic Depth", 2016).

    Drawn for each frame by default, or for each clip, and separately for each level. What survives is divided by the
    probability to survive. The identity in evaluation. Letters: N frames, S tokens of a frame, D channels.

    Args:
        prob: Probability to drop, in [0, 1).

    Raises:
        ValueError: If ``prob`` is outside [0, 1).
    """

    def __init__(self, prob: float = 0.0) -> None:
        super().__init__()
        check_number('drop_path_rate', prob, 0, 1, open_end=True)
        self.prob = prob

    def forward(self, branch: Tensor,
                level_lengths: Sequence[int] | None = None,
                clip_lengths: Sequence[int] | None = None) -> Tensor:
        """Drop parts of the branch.

        Args:
            branch: Shape (N, S, D).
            level_lengths: Tokens of each level, summing to S. None: one level.
            clip_lengths: Frames of each clip, summing to N: one draw for all frames of a clip. None: one for each
                frame.

        Returns:
            Shape (N, S, D).
        """
        if not self.training or self.prob == 0:
            return branch
        num_draws = branch.shape[0] if clip_lengths is None else len(clip_lengths)
        num_levels = 1 if level_lengths is None else len(level_lengths)
        keep = 1 - self.prob
        scale = torch.empty(num_draws, num_levels, 1, dtype=branch.dtype, device=branch.device).bernoulli_(keep) / keep
        # Not repeat_interleave: on a GPU it waits for the device to tell the size of its result.
        if clip_lengths is not None:
            scale = torch.cat([own.expand(n, -1, -1) for own, n in zip(scale.split(1), clip_lengths, strict=True)])
        if level_lengths is not None:
            levels = zip(scale.split(1, dim=1), level_lengths, strict=True)
            scale = torch.cat([own.expand(-1, n, -1) for own, n in levels], dim=1)
        return branch * scale

    def extra_repr(self) -> str:
        return f'prob={self.prob}'
