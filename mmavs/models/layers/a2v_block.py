"""Audio-to-vision fusion: audio tokens are read into the visual tokens.

Letters: N frames, B clips of one length, T frames of a clip, S = h*w visual tokens of a frame, D channels,
E inner channels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmavs.models.layers.causal_depthwise_conv import CausalDepthwiseConv1d
from mmavs.models.layers.clip_grouping import map_clips
from mmavs.models.layers.depthwise_conv import DepthwiseConv2d
from mmavs.models.layers.drop_path import DropPath
from mmavs.models.layers.gated_output import GatedOutput
from mmavs.models.layers.multi_order_scan import MultiOrderScan
from mmavs.models.layers.scan_settings import FRAME_ORDERS, PRE_NORM_EPS, inner_channels, resolve_dt_rank
from mmavs.ops.scan_orders import scan_index


class A2VBlock(nn.Module):
    """Audio-to-vision fusion block (paper section IV-D, fig. 5c, eq. 18-19).

    ``v + DropPath(Linear(LN(y) * SiLU(z)))``, where y are the scan's outputs at the visual tokens of a clip. The clip's
    audio tokens come first, so every pixel sees the whole sound. K = 4: row by row, column by column, and both reversed
    with the audio reversed too.

    Args:
        channels: D.
        d_state: State size. Default: 16.
        expand: E / D. Default: 2.
        dt_rank: Rank of the step size. Default: D / 16.
        drop_path_rate: Probability to drop the branch, drawn for each frame. Default: 0.1.
    """

    def __init__(self, channels: int, d_state: int = 16, expand: int = 2, dt_rank: int | None = None,
                 drop_path_rate: float = 0.1) -> None:
        super().__init__()
        inner = inner_channels(channels, expand)
        self.norm_v = nn.LayerNorm(channels, eps=PRE_NORM_EPS)
        self.norm_a = nn.LayerNorm(channels, eps=PRE_NORM_EPS)
        self.proj_v = nn.Linear(channels, 2 * inner, bias=False)
        self.proj_a = nn.Linear(channels, inner, bias=False)
        self.conv_v = DepthwiseConv2d(inner)
        self.conv_a = CausalDepthwiseConv1d(inner)
        self.scan = MultiOrderScan(inner, 2 * len(FRAME_ORDERS), d_state, resolve_dt_rank(dt_rank, channels))
        self.out = GatedOutput(inner, channels)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, visual: Tensor, audio: Tensor, size: tuple[int, int],
                clip_lengths: Sequence[int] | None = None) -> Tensor:
        """Update the visual tokens.

        Args:
            visual: Tokens of one level. Shape (N, S, D).
            audio: Shape (N, 1, D).
            size: (h, w) of the level.
            clip_lengths: Frames of each clip; None: every frame is a clip of one.

        Returns:
            Shape (N, S, D).
        """

        def scan_clips(clips_v: Tensor, clips_a: Tensor) -> Tensor:
            num_frames, num_visual = clips_v.shape[1:3]
            a = F.silu(self.conv_a(clips_a.flatten(1, 2)))
            tokens = torch.cat([a, clips_v.flatten(1, 2)], dim=1)
            index = scan_index(FRAME_ORDERS, (tuple(size),), num_frames=num_frames, audio='first',
                               audio_length=a.shape[1], layout='grouped', device=tokens.device)
            return self.scan(tokens, index, y_start=a.shape[1]).unflatten(1, (num_frames, num_visual))

        normed = self.norm_v(visual)
        weight_x, weight_z = self.proj_v.weight.chunk(2)
        x = F.silu(self.conv_v(F.linear(normed, weight_x), (size,)))
        a = self.proj_a(self.norm_a(audio))
        scanned = map_clips(scan_clips, x, a, clip_lengths=clip_lengths)
        return visual + self.drop_path(self.out(scanned, F.linear(normed, weight_z)))
