"""The head's per-pixel MLP and how it is evaluated.

Letters: P pixels, A queries (mask values of a pixel), H hidden channels, D output channels.
"""

import torch
from torch import Tensor, nn

from mmavs.models.decode_heads.piecewise_mlp import piecewise_mlp

EVALUATIONS = ('auto', 'plain', 'piecewise')


class MaskMLP(nn.Module):
    """Three linear layers A -> H -> H -> D with ReLU between them, on every pixel (paper section IV-D, last paragraph).

    With one query this is a piecewise linear function of a single number, and at stride 4 it would cost more than the
    whole backbone (77 GMAC for a 512x512 frame). It is then evaluated on a table of its linear pieces, see
    :func:`piecewise_mlp`: the same values and gradients up to rounding.

    Args:
        in_channels: A.
        hidden_channels: H. Default: 2048.
        out_channels: D. Default: 256.
        evaluation: ``'plain'``: layer by layer; ``'piecewise'``: by pieces, one query only; ``'auto'``: by pieces when
            there is one query and the pieces that occur cost at most about a quarter of the pixels. The choice depends
            on the weights and the pixels, never on measured time; exported and traced programs, which have to be the
            same for all pixels, are plain. Default: 'auto'.

    Raises:
        ValueError: If ``evaluation`` is unknown, or 'piecewise' with more than one query.
    """

    def __init__(self, in_channels: int = 1, hidden_channels: int = 2048, out_channels: int = 256,
                 evaluation: str = 'auto') -> None:
        super().__init__()
        if evaluation not in EVALUATIONS:
            raise ValueError(f'mask_mlp must be one of {EVALUATIONS}, but got {evaluation!r}')
        if evaluation == 'piecewise' and in_channels > 1:
            raise ValueError(f"mask_mlp='piecewise' needs num_queries=1, but got {in_channels}: use 'auto' or 'plain'")
        self.evaluation = evaluation if in_channels == 1 else 'plain'
        self.fc1 = nn.Linear(in_channels, hidden_channels)
        self.fc2 = nn.Linear(hidden_channels, hidden_channels)
        self.fc3 = nn.Linear(hidden_channels, out_channels)

    def forward(self, mask: Tensor) -> Tensor:
        """Apply the MLP.

        Args:
            mask: Shape (..., A).

        Returns:
            Shape (..., D).
        """
        if self.evaluation == 'piecewise' or (self.evaluation == 'auto' and not _is_recorded()):
            # 'auto' stays plain unless four times fewer pieces than pixels occur.
            limit = mask.numel() // 4 if self.evaluation == 'auto' else None
            result = piecewise_mlp(mask.flatten(), self.fc1, self.fc2, self.fc3, max_pieces=limit)
            if result is not None:
                return result.unflatten(0, mask.shape[:-1]).to(self.fc3.weight.dtype)
        return self.fc3(self.fc2(self.fc1(mask).relu()).relu())


def _is_recorded() -> bool:
    """Whether the operations go into a program by ``torch.export`` or ``torch.jit.trace``."""
    # Before PyTorch 2.7, export can be told from torch.compile by neither.
    exports = getattr(torch.compiler, 'is_exporting', torch.compiler.is_compiling)
    return torch.jit.is_tracing() or exports()
