"""Vision-to-audio fusion: visual tokens are read into the audio queries.

Letters: N frames, B clips of one length, T frames of a clip, S = h*w visual tokens and A queries of a frame,
D channels, E inner channels.
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


class V2ABlock(nn.Module):
    """Vision-to-audio fusion block, frame-level or temporal-level (paper section IV-C, eq. 11-17).

    ``q + DropPath(Linear(LN(y) * SiLU(z)))``, where y are the scan's outputs at the queries. The visual tokens come
    first and the queries last, so every query sees the whole frame (frame-level) or clip (temporal-level). K = 4: row
    by row, column by column, and both reversed. The temporal level reverses the queries along with the visual tokens.

    Args:
        channels: D.
        temporal: Scan whole clips instead of single frames.
        d_state: State size. Default: 16.
        expand: E / D. Default: 2.
        dt_rank: Rank of the step size. Default: D / 16.
        drop_path_rate: Probability to drop the branch, drawn for each frame. Default: 0.1.
    """

    def __init__(self, channels: int, temporal: bool, d_state: int = 16, expand: int = 2,
                 dt_rank: int | None = None, drop_path_rate: float = 0.1) -> None:
        super().__init__()
        inner = inner_channels(channels, expand)
        self.temporal = temporal
        self.norm_v = nn.LayerNorm(channels, eps=PRE_NORM_EPS)
        self.norm_q = nn.LayerNorm(channels, eps=PRE_NORM_EPS)
        self.proj_v = nn.Linear(channels, inner, bias=False)
        self.proj_q = nn.Linear(channels, 2 * inner, bias=False)
        self.conv_v = DepthwiseConv2d(inner)
        self.conv_q = CausalDepthwiseConv1d(inner)
        self.scan = MultiOrderScan(inner, 2 * len(FRAME_ORDERS), d_state, resolve_dt_rank(dt_rank, channels))
        self.out = GatedOutput(inner, channels)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, queries: Tensor, visual: Tensor, size: tuple[int, int],
                clip_lengths: Sequence[int] | None = None) -> Tensor:
        """Update the queries.

        Args:
            queries: Shape (N, A, D).
            visual: Tokens of one level. Shape (N, S, D).
            size: (h, w) of the level.
            clip_lengths: Frames of each clip; None: every frame is a clip of one. The frame-level block does not
                look at it.

        Returns:
            Shape (N, A, D).
        """

        def scan_clips(clips_v: Tensor, clips_a: Tensor) -> Tensor:
            num_frames, num_queries = clips_a.shape[1:3]
            num_visual, num_audio = num_frames * clips_v.shape[2], num_frames * num_queries
            a = F.silu(self.conv_q(clips_a.flatten(1, 2)))
            tokens = torch.cat([clips_v.flatten(1, 2), a], dim=1)
            index = scan_index(FRAME_ORDERS, (tuple(size),), num_frames=num_frames, audio='last',
                               audio_length=num_audio, layout='grouped', reverse_audio=self.temporal,
                               device=tokens.device)
            return self.scan(tokens, index, y_start=num_visual, y_len=num_audio).unflatten(1, (num_frames, num_queries))

        v = F.silu(self.conv_v(self.proj_v(self.norm_v(visual)), (size,)))
        a, gate = self.proj_q(self.norm_q(queries)).chunk(2, dim=2)
        scanned = map_clips(scan_clips, v, a, clip_lengths=clip_lengths if self.temporal else None)
        return queries + self.drop_path(self.out(scanned, gate))
