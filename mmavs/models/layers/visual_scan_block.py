"""The two scan blocks on visual tokens: VSS (frames) and Temporal Mamba (clips).

Letters: N frames, B clips of one length, T frames of a clip, S tokens of a frame over all levels, D channels,
E inner channels, K scan orders.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from mmavs.models.layers.clip_grouping import map_clips
from mmavs.models.layers.depthwise_conv import DepthwiseConv2d, DepthwiseConv3d
from mmavs.models.layers.gated_output import GatedOutput
from mmavs.models.layers.multi_order_scan import MultiOrderScan
from mmavs.models.layers.scan_settings import FRAME_ORDERS, inner_channels, resolve_dt_rank
from mmavs.models.layers.token_maps import LevelSizes
from mmavs.ops.scan_orders import scan_index, temporal_orders
from mmavs.utils.arguments import check_whole


class VSSBlock(nn.Module):
    """Visual state space block on all levels of a frame (paper section IV-B, eq. 5-7; VMamba, Liu et al. 2024).

    ``Linear(LN(scan(SiLU(dw3x3(x)))) * SiLU(z))`` with ``(x, z) = Linear(tokens)``. K = 4: the levels one after the
    other row by row, the same column by column, and both reversed as a whole.

    Args:
        channels: D.
        d_state: State size. Default: 16.
        expand: E / D. Default: 2.
        dt_rank: Rank of the step size. Default: D / 16.
    """

    def __init__(self, channels: int, d_state: int = 16, expand: int = 2, dt_rank: int | None = None) -> None:
        super().__init__()
        inner = inner_channels(channels, expand)
        self.in_proj = nn.Linear(channels, 2 * inner, bias=False)
        self.conv = DepthwiseConv2d(inner)
        self.scan = MultiOrderScan(inner, 2 * len(FRAME_ORDERS), d_state, resolve_dt_rank(dt_rank, channels))
        self.out = GatedOutput(inner, channels)

    def forward(self, tokens: Tensor, sizes: LevelSizes) -> Tensor:
        """Apply the block, without norm and residual.

        Args:
            tokens: Shape (N, S, D).
            sizes: ((h_0, w_0), ...) of the levels.

        Returns:
            Shape (N, S, D).
        """
        weight_x, weight_z = self.in_proj.weight.chunk(2)
        x = F.silu(self.conv(F.linear(tokens, weight_x), sizes))
        index = scan_index(FRAME_ORDERS, tuple(sizes), layout='grouped', device=tokens.device)
        return self.out(self.scan(x, index), F.linear(tokens, weight_z))


class TemporalMambaBlock(nn.Module):
    """3-D selective scan over all frames and levels of a clip (paper section IV-B, fig. 3, eq. 8-10).

    As :class:`VSSBlock`, with a depth-wise 3-D convolution and K orders over (t, h, w), each followed by its reverse;
    the levels are concatenated inside every order.

    Args:
        channels: D.
        num_orders: K, one of 2, 4, ..., 12. Default: 8 (spatial-first and temporal-first).
        temporal_kernel: Frames the convolution spans; 1 as in the released code, 3 for a full 3-D kernel. Default: 1.
        d_state: State size. Default: 16.
        expand: E / D. Default: 2.
        dt_rank: Rank of the step size. Default: D / 16.

    Raises:
        ValueError: If ``num_orders`` or ``temporal_kernel`` is not possible.
    """

    def __init__(self, channels: int, num_orders: int = 8, temporal_kernel: int = 1, d_state: int = 16,
                 expand: int = 2, dt_rank: int | None = None) -> None:
        super().__init__()
        inner = inner_channels(channels, expand)
        check_whole('num_orders', num_orders, lowest=2)
        self.orders = temporal_orders(num_orders)
        self.in_proj = nn.Linear(channels, 2 * inner, bias=False)
        self.conv = DepthwiseConv3d(inner, temporal_kernel)
        self.scan = MultiOrderScan(inner, num_orders, d_state, resolve_dt_rank(dt_rank, channels))
        self.out = GatedOutput(inner, channels)

    def forward(self, tokens: Tensor, sizes: LevelSizes, clip_lengths: Sequence[int] | None = None) -> Tensor:
        """Apply the block, without norm and residual.

        Args:
            tokens: Shape (N, S, D).
            sizes: ((h_0, w_0), ...) of the levels.
            clip_lengths: Frames of each clip; None: every frame is a clip of one.

        Returns:
            Shape (N, S, D).
        """

        def scan_clips(clips: Tensor) -> Tensor:
            num_frames, num_tokens = clips.shape[1:3]
            index = scan_index(self.orders, tuple(sizes), num_frames=num_frames, layout='interleaved',
                               device=clips.device)
            scanned = self.scan(clips.flatten(1, 2), index)  # (B, T*S, E)
            return scanned.unflatten(1, (num_frames, num_tokens))

        weight_x, weight_z = self.in_proj.weight.chunk(2)
        x = F.silu(self.conv(F.linear(tokens, weight_x), sizes, clip_lengths))
        scanned = map_clips(scan_clips, x, clip_lengths=clip_lengths)
        return self.out(scanned, F.linear(tokens, weight_z))
