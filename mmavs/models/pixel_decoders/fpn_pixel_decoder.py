"""Feature pyramid that makes the mask feature.

Letters: N frames, D channels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmavs.models.layers.checkpointing import run_block
from mmavs.registry import MODELS
from mmavs.utils.arguments import check_whole

NUM_LEVELS = 4


@MODELS.register_module()
class FPNPixelDecoder(BaseModule):
    """Plain top-down pyramid: lateral 1x1, add the upsampled coarser level, 3x3 with ReLU (Lin et al. 2017).

    The row "without CIP" of the paper's Table III, and the frame that :class:`CIPPixelDecoder` fills. A last 3x3
    convolution gives the mask feature at stride 4. The lateral and output convolutions have no bias.

    Args:
        channels: D. Default: 256.
        with_cp: Compute activations again in backward, to save memory. Default: False.
        init_cfg: mmengine's initialisation config. Default: None.

    Raises:
        ValueError: If ``channels`` is below 1.
    """

    def __init__(self, channels: int = 256, with_cp: bool = False, init_cfg: dict | list[dict] | None = None) -> None:
        super().__init__(init_cfg)
        check_whole(f'channels of {type(self).__name__}', channels)
        self.channels, self.with_cp = channels, with_cp
        self.laterals = nn.ModuleList(nn.Conv2d(channels, channels, 1, bias=False) for _ in range(NUM_LEVELS))
        self.outputs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.ReLU())
            for _ in range(NUM_LEVELS))
        self.mask_feature = nn.Conv2d(channels, channels, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
        nn.init.zeros_(self.mask_feature.bias)

    def forward(self, feats: Sequence[Tensor], audio: Tensor,
                clip_lengths: Sequence[int] | None = None) -> Tensor:
        """Make the mask feature.

        Args:
            feats: Four maps at strides 4, 8, 16, 32. Shapes (N, D, h_i, w_i).
            audio: Projected audio of each frame; a plain pyramid does not look at it. Shape (N, 1, D).
            clip_lengths: Frames of each clip, summing to N; None: every frame is a clip of one.

        Returns:
            Mask feature. Shape (N, D, h_0, w_0).

        Raises:
            ValueError: If there are not four maps of D channels.
        """
        found = tuple(feature.shape[1] for feature in feats)
        if found != (self.channels,) * NUM_LEVELS:
            raise ValueError(f'{type(self).__name__} needs {NUM_LEVELS} maps of {self.channels} channels, '
                             f'but got maps of {found} channels')
        upper = None
        for level in reversed(range(NUM_LEVELS)):
            feature = feats[level].contiguous(memory_format=torch.channels_last)
            feature = self._fuse_context(level, self.laterals[level](feature), audio, clip_lengths)
            upper = run_block(self._merge, level, feature, upper, with_cp=self.with_cp)
        return self.mask_feature(upper)

    def _fuse_context(self, level: int, feature: Tensor, audio: Tensor, clip_lengths: Sequence[int] | None) -> Tensor:
        """What happens to a level between its lateral convolution and the sum; here nothing."""
        return feature

    def _merge(self, level: int, feature: Tensor, upper: Tensor | None) -> Tensor:
        """Add the coarser level, if there is one, and smooth."""
        if upper is not None:
            feature = feature + F.interpolate(upper, size=feature.shape[2:], mode='nearest')
        return self.outputs[level](feature)
