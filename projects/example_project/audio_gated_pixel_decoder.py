"""The one module of this project: a feature pyramid whose channels the sound opens and closes.

Letters: N frames, D channels.
"""

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmavs.registry import MODELS

NUM_LEVELS = 4


@MODELS.register_module()
class AudioGatedPixelDecoder(BaseModule):
    """Scale the channels of each level by a function of the frame's sound, then run mmavs's plain pyramid.

    ``g_i = 2 sigmoid(W_i a + b_i)`` per frame and level, as squeeze-and-excitation (Hu et al. 2018) with the sound in
    the place of the pooled picture. It starts as the plain pyramid: W and b are 0, so that all gates are 1.

    Args:
        channels: D. Default: 256.
        init_cfg: mmengine's initialisation config. Default: None.
    """

    def __init__(self, channels: int = 256, init_cfg: dict | list[dict] | None = None) -> None:
        super().__init__(init_cfg)
        # MADHead reads this to check that the parts fit.
        self.channels = channels
        self.gates = nn.ModuleList(nn.Linear(channels, channels) for _ in range(NUM_LEVELS))
        self.pyramid = MODELS.build(dict(type='mmavs.FPNPixelDecoder', channels=channels))
        for gate in self.gates:
            nn.init.zeros_(gate.weight)
            nn.init.zeros_(gate.bias)

    def forward(self, feats: Sequence[Tensor], audio: Tensor, clip_lengths: Sequence[int] | None = None) -> Tensor:
        """Make the mask feature.

        Args:
            feats: Four maps at strides 4, 8, 16, 32. Shapes (N, D, h_i, w_i).
            audio: Projected audio of each frame. Shape (N, 1, D).
            clip_lengths: Frames of each clip, summing to N. Not used: every frame is gated by its own sound.

        Returns:
            Mask feature. Shape (N, D, h_0, w_0).
        """
        gated = []
        for feature, gate in zip(feats, self.gates, strict=True):
            factor = 2 * gate(audio[:, 0]).sigmoid()  # (N, D)
            gated.append(feature * factor[:, :, None, None])
        return self.pyramid(gated, audio, clip_lengths)
