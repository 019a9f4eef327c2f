"""Depth-wise convolutions on channels-last tokens.

Letters: N frames, S tokens of a frame, C channels, T frames of a clip.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmavs.models.layers.clip_grouping import map_clips
from mmavs.models.layers.token_maps import LevelSizes, map_to_tokens, split_levels
from mmavs.utils.arguments import check_whole


class DepthwiseConv2d(nn.Conv2d):
    """Depth-wise 3x3 convolution with bias, the same for every level.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, kernel_size=3, padding=1, groups=channels)

    def forward(self, tokens: Tensor, sizes: LevelSizes) -> Tensor:
        """Convolve each level by itself.

        Args:
            tokens: Shape (N, S, C).
            sizes: ((h_0, w_0), ...) of the levels.

        Returns:
            Shape (N, S, C).
        """
        return _conv_frames(tokens, sizes, self.weight, self.bias)


class DepthwiseConv3d(nn.Conv3d):
    """Depth-wise convolution over the frames of a clip, with bias; the same for every level.

    Args:
        channels: C.
        temporal_kernel: Frames the kernel spans: 1 gives (1, 3, 3), which is a convolution of each frame; 3 gives
            (3, 3, 3), padded with zeros before the first and after the last frame of every clip.

    Raises:
        ValueError: If ``temporal_kernel`` is not a positive odd number.
    """

    def __init__(self, channels: int, temporal_kernel: int = 1) -> None:
        check_whole('temporal_kernel', temporal_kernel)
        if temporal_kernel % 2 == 0:
            raise ValueError(f'temporal_kernel must be a positive odd number, but got {temporal_kernel}')
        super().__init__(channels, channels, kernel_size=(temporal_kernel, 3, 3),
                         padding=(temporal_kernel // 2, 1, 1), groups=channels)

    def forward(self, tokens: Tensor, sizes: LevelSizes, clip_lengths: Sequence[int] | None = None) -> Tensor:
        """Convolve each level of each clip by itself.

        Args:
            tokens: Shape (N, S, C).
            sizes: ((h_0, w_0), ...) of the levels.
            clip_lengths: Frames of each clip; None: every frame is a clip of one.

        Returns:
            Shape (N, S, C).
        """
        if self.kernel_size[0] == 1:
            return _conv_frames(tokens, sizes, self.weight.squeeze(2), self.bias)
        outputs = [map_clips(self._conv_clips, level.permute(0, 2, 3, 1), clip_lengths=clip_lengths).flatten(1, 2)
                   for level in split_levels(tokens, sizes)]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)

    def _conv_clips(self, clips: Tensor) -> Tensor:
        """Convolve clips of one length, shape (B, T, h, w, C)."""
        # Dense channels-last memory: about five times faster on CPU than the strided view of one level.
        volume = clips.permute(0, 4, 1, 2, 3).contiguous(memory_format=torch.channels_last_3d)
        return super().forward(volume).permute(0, 2, 3, 4, 1)


def _conv_frames(tokens: Tensor, sizes: LevelSizes, weight: Tensor, bias: Tensor) -> Tensor:
    """Depth-wise 3x3 convolution of each level with weight (C, 1, 3, 3)."""
    outputs = []
    for level in split_levels(tokens, sizes):
        # Dense channels-last memory: about seven times faster on CPU than the strided view of one level.
        level = level.contiguous(memory_format=torch.channels_last)
        outputs.append(map_to_tokens(F.conv2d(level, weight, bias, padding=1, groups=weight.shape[0])))
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)
