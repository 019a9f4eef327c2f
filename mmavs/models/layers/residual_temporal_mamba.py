"""Temporal Mamba with its pre-norm and residual, for one level.

Letters: N frames, S = h*w tokens of a frame, D channels.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from mmavs.models.layers.drop_path import DropPath
from mmavs.models.layers.scan_settings import PRE_NORM_EPS
from mmavs.models.layers.visual_scan_block import TemporalMambaBlock


class ResidualTemporalMamba(nn.Module):
    """``x + DropPath(TemporalMamba(LN(x)))`` on one level (paper section IV-D, fig. 5b).

    Args:
        channels: D.
        num_orders: Scan orders, one of 2, 4, ..., 12. Default: 8.
        temporal_kernel: Frames that the convolution spans. Default: 1.
        d_state: State size. Default: 16.
        expand: Inner channels as a multiple of D. Default: 2.
        dt_rank: Rank of the step size. Default: D / 16.
        drop_path_rate: Probability to drop the branch, drawn for each clip. Default: 0.1.
    """

    def __init__(self, channels: int, num_orders: int = 8, temporal_kernel: int = 1, d_state: int = 16,
                 expand: int = 2, dt_rank: int | None = None, drop_path_rate: float = 0.1) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=PRE_NORM_EPS)
        self.block = TemporalMambaBlock(channels, num_orders, temporal_kernel, d_state, expand, dt_rank)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, tokens: Tensor, size: tuple[int, int], clip_lengths: Sequence[int] | None = None) -> Tensor:
        """Apply the block.

        Args:
            tokens: Shape (N, S, D).
            size: (h, w).
            clip_lengths: Frames of each clip; None: every frame is a clip of one.

        Returns:
            Shape (N, S, D).
        """
        branch = self.block(self.norm(tokens), (size,), clip_lengths)
        return tokens + self.drop_path(branch, clip_lengths=clip_lengths)
