"""The parts of PVTv2 (Wang et al., "PVT v2: improved baselines with pyramid vision transformer", arXiv 2106.13797).

Tokens are channels last, so the convolutions see channels-last maps and no layout is ever copied.
Letters: N frames, h and w the size of the stage, L = h*w tokens, M keys after spatial reduction, C channels.
Attribute names are those of the official checkpoints.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from mmavs.models.layers.drop_path import DropPath
from mmavs.models.layers.token_maps import map_to_tokens, tokens_to_map

# The official blocks use 1e-6, their patch embeddings and reduced keys PyTorch's default 1e-5.
BLOCK_NORM_EPS = 1e-6


class OverlapPatchEmbed(nn.Module):
    """Overlapping patch embedding: a strided convolution and a LayerNorm.

    Args:
        in_channels: Channels of the map that enters.
        channels: C.
        kernel_size: Side of the patches, odd.
        stride: Their distance.
    """

    def __init__(self, in_channels: int, channels: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, channels, kernel_size=kernel_size, stride=stride, padding=kernel_size // 2)
        self.norm = nn.LayerNorm(channels)

    def forward(self, feature: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Embed.

        Args:
            feature: Shape (N, in_channels, H, W).

        Returns:
            Tokens, shape (N, L, C), and (h, w).
        """
        embedded = self.proj(feature)
        return self.norm(map_to_tokens(embedded)), (embedded.shape[2], embedded.shape[3])


class SpatialReductionAttention(nn.Module):
    """Multi-head attention whose keys and values come from a smaller map ("spatial-reduction attention" of PVT).

    Args:
        channels: C.
        num_heads: Heads; they divide C.
        sr_ratio: Side of the squares of tokens that give one key; 1: every token is a key.

    Raises:
        ValueError: If ``num_heads`` does not divide ``channels``.
    """

    def __init__(self, channels: int, num_heads: int, sr_ratio: int) -> None:
        super().__init__()
        if channels % num_heads:
            raise ValueError(f'PVTv2: num_heads={num_heads} does not divide embed_dims={channels}.')
        self.num_heads = num_heads
        self.q = nn.Linear(channels, channels)
        self.kv = nn.Linear(channels, 2 * channels)
        self.proj = nn.Linear(channels, channels)
        self.sr_ratio = sr_ratio
        if sr_ratio > 1:
            self.sr = nn.Conv2d(channels, channels, kernel_size=sr_ratio, stride=sr_ratio)
            self.norm = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """Attend.

        Args:
            tokens: Shape (N, L, C).
            size: (h, w).

        Returns:
            Shape (N, L, C).
        """
        reduced = tokens
        if self.sr_ratio > 1:
            reduced = self.norm(map_to_tokens(self.sr(tokens_to_map(tokens, size))))
        query = self.q(tokens).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)       # (N, heads, L, C/heads)
        key, value = self.kv(reduced).unflatten(-1, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value)
        return self.proj(attended.transpose(1, 2).flatten(2))


class DepthwiseConv(nn.Module):
    """A 3x3 depth-wise convolution; a module of its own for the sake of the official names.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, kernel_size=3, padding=1, groups=channels)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """Convolve tokens of shape (N, L, C) laid out as ``size``; same shape."""
        return map_to_tokens(self.dwconv(tokens_to_map(tokens, size)))


class ConvFeedForward(nn.Module):
    """Convolutional feed-forward layer, with a depth-wise convolution: ``fc2(GELU(dw3x3(fc1(x))))``.

    Args:
        channels: C.
        hidden_channels: Width between the two linear layers.
    """

    def __init__(self, channels: int, hidden_channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden_channels)
        self.dwconv = DepthwiseConv(hidden_channels)
        self.fc2 = nn.Linear(hidden_channels, channels)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """Apply to tokens of shape (N, L, C) laid out as ``size``; same shape."""
        return self.fc2(F.gelu(self.dwconv(self.fc1(tokens), size)))


class PVTv2Block(nn.Module):
    """Attention and feed-forward layer, each with a LayerNorm before, a residual and stochastic depth.

    Args:
        channels: C.
        num_heads: Heads of the attention.
        mlp_ratio: Hidden channels of the feed-forward layer as a multiple of C.
        sr_ratio: Spatial reduction of keys and values.
        drop_path: Probability to drop a residual branch of a frame in training.
    """

    def __init__(self, channels: int, num_heads: int, mlp_ratio: int, sr_ratio: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=BLOCK_NORM_EPS)
        self.attn = SpatialReductionAttention(channels, num_heads, sr_ratio)
        self.norm2 = nn.LayerNorm(channels, eps=BLOCK_NORM_EPS)
        self.mlp = ConvFeedForward(channels, channels * mlp_ratio)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """Apply to tokens of shape (N, L, C) laid out as ``size``; same shape."""
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens), size))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens), size))
