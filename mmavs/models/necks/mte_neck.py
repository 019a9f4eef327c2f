"""Multi-scale Temporal Encoder.

Letters: N frames, D channels, S tokens of a frame over the levels at strides 8, 16 and 32.
"""

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmavs.models.layers.clip_grouping import check_clip_lengths
from mmavs.models.layers.token_maps import join_levels, split_levels
from mmavs.models.necks.mte_layer import MTELayer
from mmavs.registry import MODELS
from mmavs.utils.arguments import check_whole, check_wholes

NUM_LEVELS = 4
NORM_GROUPS = 32


@MODELS.register_module()
class MTENeck(BaseModule):
    """Project the four levels of a backbone and encode the three coarse ones (paper section IV-B).

    A 1x1 convolution and GroupNorm bring every level to D channels. The layers then scan the levels at strides 8, 16
    and 32 together, first within frames (VSS, MixFFN), then across the frames of a clip (Temporal Mamba). The level at
    stride 4 is only projected. Without clip lengths every frame is a clip of its own, so the neck fits in the config of
    any image segmentor.

    Args:
        in_channels: Channels of the four levels, finest first. Default: (64, 128, 320, 512), PVTv2 from b1 on.
        out_channels: D, a multiple of 32. Default: 256.
        num_layers: Encoder layers; 0 gives the projections alone. Default: 2.
        num_orders: Scan orders of Temporal Mamba, one of 2, 4, ..., 12. Default: 8.
        with_vss: Have the VSS blocks; without them there is no MixFFN either. Default: True.
        with_ffn: Have a MixFFN after each VSS block (in the released code, not in the paper). Default: True.
        with_temporal: Have the Temporal Mamba blocks. Default: True.
        temporal_kernel: Frames that Temporal Mamba's convolution spans. Default: 1.
        d_state: State size of the scans. Default: 16.
        expand: Inner channels as a multiple of D. Default: 2.
        dt_rank: Rank of the step size. Default: D / 16.
        drop_path_rate: Probability to drop a residual branch. Default: 0.1.
        ffn_ratio: Hidden channels of MixFFN as a multiple of D. Default: 4.
        with_cp: Compute activations again in backward, to save memory. Default: False.
        init_cfg: mmengine's initialisation config. Default: None.

    Raises:
        ValueError: If a setting is not possible.
    """

    def __init__(self, in_channels: Sequence[int] = (64, 128, 320, 512), out_channels: int = 256, num_layers: int = 2,
                 num_orders: int = 8, with_vss: bool = True, with_ffn: bool = True, with_temporal: bool = True,
                 temporal_kernel: int = 1, d_state: int = 16, expand: int = 2, dt_rank: int | None = None,
                 drop_path_rate: float = 0.1, ffn_ratio: float = 4, with_cp: bool = False,
                 init_cfg: dict | list[dict] | None = None) -> None:
        super().__init__(init_cfg)
        check_wholes('in_channels of MTENeck (levels at strides 4, 8, 16, 32)', in_channels, NUM_LEVELS)
        check_whole('out_channels of MTENeck', out_channels)
        check_whole('num_layers of MTENeck', num_layers, lowest=0)
        if out_channels % NORM_GROUPS:
            raise ValueError(f'out_channels of MTENeck must be a multiple of {NORM_GROUPS} (the groups of its '
                             f'GroupNorm), but got {out_channels}')
        self.in_channels, self.out_channels = tuple(in_channels), out_channels
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, out_channels, kernel_size=1), nn.GroupNorm(NORM_GROUPS, out_channels))
            for channels in in_channels)
        self.layers = nn.ModuleList(
            MTELayer(out_channels, num_orders, with_vss, with_ffn, with_temporal, temporal_kernel, d_state, expand,
                     dt_rank, drop_path_rate, ffn_ratio, with_cp) for _ in range(num_layers))

    def forward(self, feats: Sequence[Tensor], clip_lengths: Sequence[int] | None = None) -> tuple[Tensor, ...]:
        """Encode the frames of a batch.

        Args:
            feats: Four maps at strides 4, 8, 16, 32. Shapes (N, in_channels[i], h_i, w_i).
            clip_lengths: Frames of each clip, summing to N; None: every frame is a clip of one.

        Returns:
            Four maps. Shapes (N, D, h_i, w_i).

        Raises:
            ValueError: If the maps or the clip lengths do not fit.
        """
        found = tuple(feature.shape[1] for feature in feats)
        if found != self.in_channels:
            raise ValueError(f'MTENeck was built for in_channels={self.in_channels}, '
                             f'but the backbone gives maps of {found} channels')
        clip_lengths = check_clip_lengths(clip_lengths, feats[0].shape[0])
        maps = [project(feature) for project, feature in zip(self.projections, feats, strict=True)]
        if len(self.layers) == 0:
            return tuple(maps)
        tokens, sizes = join_levels(maps[1:])
        for layer in self.layers:
            tokens = layer(tokens, sizes, clip_lengths)
        return (maps[0], *split_levels(tokens, sizes))
