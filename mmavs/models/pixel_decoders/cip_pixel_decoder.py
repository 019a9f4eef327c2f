"""Contextual Integration Pyramid.

Letters: N frames, D channels.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from mmavs.models.layers.a2v_block import A2VBlock
from mmavs.models.layers.checkpointing import run_block
from mmavs.models.layers.residual_temporal_mamba import ResidualTemporalMamba
from mmavs.models.layers.token_maps import map_to_tokens, tokens_to_map
from mmavs.models.pixel_decoders.fpn_pixel_decoder import NUM_LEVELS, FPNPixelDecoder
from mmavs.registry import MODELS


@MODELS.register_module()
class CIPPixelDecoder(FPNPixelDecoder):
    """Pyramid with temporal context and audio on every level (paper section IV-D, fig. 5, eq. 18-19).

    Between the lateral convolution and the sum, a level passes a Temporal Mamba (across the frames of a clip) and an
    audio-to-vision fusion with the clip's initial audio.

    Args:
        channels: D. Default: 256.
        num_orders: Scan orders of Temporal Mamba, one of 2, 4, ..., 12. Default: 8.
        with_temporal: Have the Temporal Mambas. Default: True.
        with_a2v: Have the audio-to-vision fusion. Default: True.
        share_finest: The levels at strides 4 and 8 share one Temporal Mamba, as in the released code. Default: True.
        temporal_kernel: Frames that Temporal Mamba's convolution spans. Default: 1.
        d_state: State size of the scans. Default: 16.
        expand: Inner channels as a multiple of D. Default: 2.
        dt_rank: Rank of the step size. Default: D / 16.
        drop_path_rate: Probability to drop a residual branch. Default: 0.1.
        with_cp: Compute activations again in backward, to save memory. Default: False.
        init_cfg: mmengine's initialisation config. Default: None.

    Raises:
        ValueError: If a setting is not possible.
    """

    def __init__(self, channels: int = 256, num_orders: int = 8, with_temporal: bool = True, with_a2v: bool = True,
                 share_finest: bool = True, temporal_kernel: int = 1, d_state: int = 16, expand: int = 2,
                 dt_rank: int | None = None, drop_path_rate: float = 0.1, with_cp: bool = False,
                 init_cfg: dict | list[dict] | None = None) -> None:
        super().__init__(channels, with_cp, init_cfg)
        self.with_temporal, self.with_a2v, self.share_finest = with_temporal, with_a2v, share_finest
        if with_temporal:
            self.temporal_blocks = nn.ModuleList(
                ResidualTemporalMamba(channels, num_orders, temporal_kernel, d_state, expand, dt_rank, drop_path_rate)
                for _ in range(NUM_LEVELS - 1 if share_finest else NUM_LEVELS))
        if with_a2v:
            self.a2v_blocks = nn.ModuleList(
                A2VBlock(channels, d_state, expand, dt_rank, drop_path_rate) for _ in range(NUM_LEVELS))

    def _fuse_context(self, level: int, feature: Tensor, audio: Tensor, clip_lengths: Sequence[int] | None) -> Tensor:
        """Temporal Mamba, then audio-to-vision fusion."""
        size = (feature.shape[2], feature.shape[3])
        tokens = map_to_tokens(feature)
        if self.with_temporal:
            # The list starts at stride 8 when strides 4 and 8 share its first block.
            block = self.temporal_blocks[max(level - 1, 0) if self.share_finest else level]
            tokens = run_block(block, tokens, size, clip_lengths, with_cp=self.with_cp)
        if self.with_a2v:
            tokens = run_block(self.a2v_blocks[level], tokens, audio, size, clip_lengths, with_cp=self.with_cp)
        return tokens_to_map(tokens, size)
