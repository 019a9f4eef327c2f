"""Modality Aggregation Decoder: the audio queries gather vision, level by level.

Letters: N frames, A queries of a frame, D channels.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from mmavs.models.layers.checkpointing import run_block
from mmavs.models.layers.token_maps import map_to_tokens
from mmavs.models.layers.v2a_block import V2ABlock


class QueryDecoderLayer(nn.Module):
    """Vision-to-audio fusion with the levels at strides 8, 16 and 32 in turn (paper section IV-C).

    On each level first within frames, then across the frames of a clip; every fusion block has weights of its own.

    Args:
        channels: D.
        num_levels: Levels to read. Default: 3.
        frame_level: Have the frame-level blocks. Default: True.
        temporal_level: Have the temporal-level blocks. Default: True.
        d_state: State size. Default: 16.
        expand: Inner channels as a multiple of D. Default: 2.
        dt_rank: Rank of the step size. Default: D / 16.
        drop_path_rate: Probability to drop a residual branch. Default: 0.1.
        with_cp: Compute activations again in backward. Default: False.

    Raises:
        ValueError: If both kinds of block are off.
    """

    def __init__(self, channels: int, num_levels: int = 3, frame_level: bool = True, temporal_level: bool = True,
                 d_state: int = 16, expand: int = 2, dt_rank: int | None = None, drop_path_rate: float = 0.1,
                 with_cp: bool = False) -> None:
        super().__init__()
        kinds = [temporal for temporal, wanted in ((False, frame_level), (True, temporal_level)) if wanted]
        if not kinds:
            raise ValueError('a decoder layer with frame_level=False and temporal_level=False is empty: '
                             'set num_layers=0 to decode the projected audio itself')
        self.with_cp = with_cp
        self.levels = nn.ModuleList(
            nn.ModuleList(V2ABlock(channels, temporal, d_state, expand, dt_rank, drop_path_rate) for temporal in kinds)
            for _ in range(num_levels))

    def forward(self, queries: Tensor, feats: Sequence[Tensor], clip_lengths: Sequence[int] | None = None) -> Tensor:
        """Update the queries.

        Args:
            queries: Shape (N, A, D).
            feats: One map for each level. Shapes (N, D, h_i, w_i).
            clip_lengths: Frames of each clip; None: every frame is a clip of one.

        Returns:
            Shape (N, A, D).
        """
        for blocks, feature in zip(self.levels, feats, strict=True):
            visual, size = map_to_tokens(feature), (feature.shape[2], feature.shape[3])
            for block in blocks:
                queries = run_block(block, queries, visual, size, clip_lengths, with_cp=self.with_cp)
        return queries
