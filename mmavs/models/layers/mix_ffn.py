"""Feed-forward layer with a depth-wise convolution."""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from mmavs.models.layers.depthwise_conv import DepthwiseConv2d
from mmavs.models.layers.token_maps import LevelSizes
from mmavs.utils.arguments import check_number


class MixFFN(nn.Module):
    """``fc2(GELU(dw3x3(fc1(x))))``, shared by all levels (SegFormer, Xie et al. 2021, eq. 3, without its residual).

    In the released code of AVS-Mamba, not in the paper. Letters: N frames, S tokens of a frame, D channels.

    Args:
        channels: D.
        ratio: Hidden channels as a multiple of D. Default: 4.

    Raises:
        ValueError: If ``ratio`` gives no hidden channel.
    """

    def __init__(self, channels: int, ratio: float = 4) -> None:
        super().__init__()
        check_number('ffn_ratio', ratio, 0)
        hidden = int(channels * ratio)
        if hidden < 1:
            raise ValueError(f'ffn_ratio must give at least one hidden channel, but got {ratio} x {channels}')
        self.fc1 = nn.Linear(channels, hidden)
        self.conv = DepthwiseConv2d(hidden)
        self.fc2 = nn.Linear(hidden, channels)
        for linear in (self.fc1, self.fc2):
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)
        nn.init.normal_(self.conv.weight, std=math.sqrt(2 / 9))
        nn.init.zeros_(self.conv.bias)

    def forward(self, tokens: Tensor, sizes: LevelSizes) -> Tensor:
        """Apply the layer.

        Args:
            tokens: Shape (N, S, D).
            sizes: ((h_0, w_0), ...) of the levels.

        Returns:
            Shape (N, S, D).
        """
        return self.fc2(F.gelu(self.conv(self.fc1(tokens), sizes)))
