"""The last step of every scan block."""

import torch.nn.functional as F
from torch import Tensor, nn


class GatedOutput(nn.Module):
    """Normalise the scanned tokens, multiply them by the gate and project them back (paper eq. 15-16).

    ``Linear(LN(y) * SiLU(z))``. Letters: N sequences, L tokens, E inner channels, D model channels.

    Args:
        inner_channels: E.
        channels: D.
    """

    def __init__(self, inner_channels: int, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(inner_channels, eps=1e-5)
        self.proj = nn.Linear(inner_channels, channels, bias=False)

    def forward(self, scanned: Tensor, gate: Tensor) -> Tensor:
        """Gate and project.

        Args:
            scanned: y. Shape (N, L, E).
            gate: z. Shape (N, L, E).

        Returns:
            Shape (N, L, D).
        """
        return self.proj(self.norm(scanned.to(self.norm.weight.dtype)) * F.silu(gate))
