"""From queries and mask feature to logits.

Letters: N frames, A queries of a frame, D channels, h and w the size at stride 4, C classes.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from mmavs.models.decode_heads.mask_mlp import MaskMLP
from mmavs.models.layers.token_maps import map_to_tokens, tokens_to_map
from mmavs.utils.arguments import check_whole, check_wholes

UPSAMPLING = 4


class MaskPredictor(nn.Module):
    """Intermediate mask, MLP and classifier (paper section IV-D, last paragraph).

    The intermediate mask is the product of queries and mask feature F. The MLP turns each of its pixels into D
    channels, F is added, and convolutions with a bilinear upsampling by 4 give the logits at input size.

    Args:
        channels: D.
        num_queries: A. Default: 1.
        mlp_channels: Hidden channels of the MLP. Default: 2048.
        fc_channels: Channels before and after the first convolution at full size. Default: (128, 32).
        mask_mlp: How the MLP is evaluated, see :class:`MaskMLP`. Default: 'auto'.

    Raises:
        ValueError: If ``mlp_channels`` or one of the two ``fc_channels`` is below 1, or ``mask_mlp`` is unknown.
    """

    def __init__(self, channels: int, num_queries: int = 1, mlp_channels: int = 2048,
                 fc_channels: Sequence[int] = (128, 32), mask_mlp: str = 'auto') -> None:
        super().__init__()
        check_wholes('fc_channels', fc_channels, 2)
        check_whole('mlp_channels', mlp_channels)
        coarse, fine = fc_channels
        self.mlp = MaskMLP(num_queries, mlp_channels, channels, mask_mlp)
        self.conv_coarse = nn.Conv2d(channels, coarse, 3, padding=1)
        self.conv_fine = nn.Conv2d(coarse, fine, 3, padding=1)

    def forward(self, mask_feature: Tensor, queries: Tensor, classify: nn.Module) -> Tensor:
        """Predict.

        Args:
            mask_feature: F. Shape (N, D, h, w).
            queries: Shape (N, A, D).
            classify: Last layer, from ``fc_channels[1]`` channels to the classes.

        Returns:
            Logits. Shape (N, C, 4h, 4w).
        """
        pixels = map_to_tokens(mask_feature)  # (N, h*w, D)
        mask = pixels @ queries.transpose(1, 2)  # (N, h*w, A)
        feature = tokens_to_map(self.mlp(mask) + pixels, mask_feature.shape[2:])
        feature = F.interpolate(self.conv_coarse(feature), scale_factor=UPSAMPLING, mode='bilinear',
                                align_corners=False)
        return classify(F.relu(self.conv_fine(feature)))
