"""Causal depth-wise convolution of audio tokens."""

from torch import Tensor, nn

from mmavs.ops import causal_conv1d


class CausalDepthwiseConv1d(nn.Conv1d):
    """Depth-wise 1-D convolution over tokens that looks only back, with bias (Mamba, Gu and Dao 2023).

    Letters: B sequences, L tokens, C channels.

    Args:
        channels: C.
        kernel_size: Tokens the kernel spans, itself included. Default: 4.
    """

    def __init__(self, channels: int, kernel_size: int = 4) -> None:
        super().__init__(channels, channels, kernel_size, groups=channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """Convolve.

        Args:
            tokens: Shape (B, L, C).

        Returns:
            Shape (B, L, C).
        """
        return causal_conv1d(tokens.transpose(1, 2), self.weight.squeeze(1), self.bias).transpose(1, 2)
