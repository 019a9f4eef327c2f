"""One layer of the Multi-scale Temporal Encoder.

Letters: N frames, S tokens of a frame over all levels, D channels.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from mmavs.models.layers.checkpointing import run_block
from mmavs.models.layers.drop_path import DropPath
from mmavs.models.layers.mix_ffn import MixFFN
from mmavs.models.layers.scan_settings import PRE_NORM_EPS
from mmavs.models.layers.token_maps import LevelSizes
from mmavs.models.layers.visual_scan_block import TemporalMambaBlock, VSSBlock


class MTELayer(nn.Module):
    """VSS, MixFFN and Temporal Mamba, each with a pre-norm and a residual (paper section IV-B, fig. 2).

    All weights are shared by the levels. The residual branches of VSS and MixFFN are dropped for each frame, that of
    Temporal Mamba for each clip, always for each level by itself.

    Args:
        channels: D.
        num_orders: Scan orders of Temporal Mamba. Default: 8.
        with_vss: Have the VSS block. Without it there is no MixFFN either. Default: True.
        with_ffn: Have the MixFFN after the VSS block. Default: True.
        with_temporal: Have the Temporal Mamba block. Default: True.
        temporal_kernel: Frames that Temporal Mamba's convolution spans. Default: 1.
        d_state: State size. Default: 16.
        expand: Inner channels as a multiple of D. Default: 2.
        dt_rank: Rank of the step size. Default: D / 16.
        drop_path_rate: Probability to drop a branch. Default: 0.1.
        ffn_ratio: Hidden channels of MixFFN as a multiple of D. Default: 4.
        with_cp: Compute activations again in backward. Default: False.

    Raises:
        ValueError: If VSS and Temporal Mamba are both off.
    """

    def __init__(self, channels: int, num_orders: int = 8, with_vss: bool = True, with_ffn: bool = True,
                 with_temporal: bool = True, temporal_kernel: int = 1, d_state: int = 16, expand: int = 2,
                 dt_rank: int | None = None, drop_path_rate: float = 0.1, ffn_ratio: float = 4,
                 with_cp: bool = False) -> None:
        super().__init__()
        if not with_vss and not with_temporal:
            raise ValueError('an MTE layer without VSS and without Temporal Mamba is empty: '
                             'set num_layers=0 to go without the encoder')
        self.with_vss, self.with_ffn, self.with_temporal = with_vss, with_vss and with_ffn, with_temporal
        self.with_cp = with_cp
        if self.with_vss:
            self.norm_vss = nn.LayerNorm(channels, eps=PRE_NORM_EPS)
            self.vss = VSSBlock(channels, d_state, expand, dt_rank)
        if self.with_ffn:
            self.norm_ffn = nn.LayerNorm(channels, eps=PRE_NORM_EPS)
            self.ffn = MixFFN(channels, ffn_ratio)
        if self.with_temporal:
            self.norm_temporal = nn.LayerNorm(channels, eps=PRE_NORM_EPS)
            self.temporal = TemporalMambaBlock(channels, num_orders, temporal_kernel, d_state, expand, dt_rank)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, tokens: Tensor, sizes: LevelSizes, clip_lengths: Sequence[int] | None = None) -> Tensor:
        """Encode.

        Args:
            tokens: Shape (N, S, D).
            sizes: ((h_0, w_0), ...) of the levels.
            clip_lengths: Frames of each clip; None: every frame is a clip of one.

        Returns:
            Shape (N, S, D).
        """
        if self.with_vss:
            tokens = run_block(self._add_vss, tokens, sizes, with_cp=self.with_cp)
        if self.with_ffn:
            tokens = run_block(self._add_ffn, tokens, sizes, with_cp=self.with_cp)
        if self.with_temporal:
            tokens = run_block(self._add_temporal, tokens, sizes, clip_lengths, with_cp=self.with_cp)
        return tokens

    def _add_vss(self, tokens: Tensor, sizes: LevelSizes) -> Tensor:
        return tokens + self.drop_path(self.vss(self.norm_vss(tokens), sizes), _token_counts(sizes))

    def _add_ffn(self, tokens: Tensor, sizes: LevelSizes) -> Tensor:
        return tokens + self.drop_path(self.ffn(self.norm_ffn(tokens), sizes), _token_counts(sizes))

    def _add_temporal(self, tokens: Tensor, sizes: LevelSizes, clip_lengths: Sequence[int] | None) -> Tensor:
        branch = self.temporal(self.norm_temporal(tokens), sizes, clip_lengths)
        return tokens + self.drop_path(branch, _token_counts(sizes), clip_lengths)


def _token_counts(sizes: LevelSizes) -> list[int]:
    return [h * w for h, w in sizes]
