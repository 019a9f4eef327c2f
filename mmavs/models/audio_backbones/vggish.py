"""VGGish, the audio network (Hershey et al., "CNN architectures for large-scale audio classification", ICASSP 2017)."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmavs.registry import MODELS
from mmavs.utils.arguments import check_wholes
from mmavs.utils.safe_load import load_pretrained, pretrained_from_init_cfg

EXAMPLE_SHAPE = (1, 96, 64)
# 3x3 convolutions in each stage, before its pooling.
STAGE_DEPTHS = (1, 1, 2, 2)
WEIGHTS_HINT = ('It is vggish-10086976.pth from the release v0.1 of the GitHub project harritaylor/torchvggish '
                '(README, "Pretrained weights").')


@MODELS.register_module()
class VGGish(BaseModule):
    """VGGish: one second of log-mel spectrogram -> one feature vector.

    Four stages of 3x3 convolutions and ReLU, each closed by a 2x2 max-pooling, then three linear layers with a ReLU
    after **each**, also the last; no PCA. Parameter names are those of the PyTorch checkpoint ported from TensorFlow
    (``features.0.weight``, ..., ``embeddings.4.bias``), which loads as it is. The full net has 72,141,184 parameters.

    Args:
        stage_channels: Channels of the four stages. Default: the published ones; smaller ones are for tests and demos.
        fc_channels: Widths of the three linear layers; the last is the feature's. Default: the published ones.
        frozen: True (default) keeps the net in eval mode, without gradients. Train a small net with False.
        init_cfg: ``dict(type='Pretrained', checkpoint='.../vggish-10086976.pth')`` for the published weights, a local
            path. None: Kaiming initialisation.

    Raises:
        ValueError: If ``stage_channels`` has not four entries, ``fc_channels`` not three, or one is below 1.
    """

    def __init__(self, stage_channels: Sequence[int] = (64, 128, 256, 512),
                 fc_channels: Sequence[int] = (4096, 4096, 128), frozen: bool = True,
                 init_cfg: Any = None) -> None:
        super().__init__(init_cfg=init_cfg)
        for name, widths, count in (('stage_channels', stage_channels, 4), ('fc_channels', fc_channels, 3)):
            check_wholes(f'{name} of VGGish', widths, count)
        self.frozen = frozen
        self.out_channels = fc_channels[-1]
        self.features = nn.Sequential(*_convolutions(stage_channels))
        _, frames, bands = EXAMPLE_SHAPE
        flat_channels = stage_channels[-1] * (frames // 16) * (bands // 16)
        linears = []
        for inputs, outputs in zip((flat_channels, *fc_channels[:-1]), fc_channels, strict=True):
            linears += [nn.Linear(inputs, outputs), nn.ReLU(inplace=True)]
        self.embeddings = nn.Sequential(*linears)
        if frozen:
            self.requires_grad_(False)
            self.eval()
        else:
            self._init_kaiming()

    def init_weights(self) -> None:
        """Load the file named by ``init_cfg``; without one, Kaiming initialisation.

        Raises:
            FileNotFoundError: If the file is missing.
            ValueError: If it does not fit (see :func:`mmavs.utils.safe_load.load_pretrained`).
        """
        pretrained = pretrained_from_init_cfg(self.init_cfg)
        if pretrained is not None:
            load_pretrained(self, pretrained[0], prefix=pretrained[1], hint=WEIGHTS_HINT)
            self._is_init = True
            return
        self._init_kaiming()
        super().init_weights()
        if self.frozen:
            print_log('VGGish is frozen with random weights: it will not learn. Give it init_cfg=dict('
                      "type='Pretrained', checkpoint=...), or frozen=False.", logger='current', level=logging.WARNING)

    def train(self, mode: bool = True) -> 'VGGish':
        """Set the mode; a frozen net stays in eval mode."""
        return super().train(mode and not self.frozen)

    def forward(self, log_mel: Tensor) -> Tensor:
        """Compute the features.

        Args:
            log_mel: Log-mel examples (96 frames of 10 ms, 64 mel bands). Shape (N, 1, 96, 64).

        Returns:
            Non-negative features. Shape (N, fc_channels[-1]).

        Raises:
            ValueError: If ``log_mel`` has another shape.
        """
        if log_mel.shape[1:] != EXAMPLE_SHAPE:
            raise ValueError(f'VGGish: log_mel must have shape (N, 1, 96, 64), got {tuple(log_mel.shape)}.')
        if not self.frozen:
            return self._compute(log_mel)
        with torch.no_grad():
            return self._compute(log_mel)

    def _compute(self, log_mel: Tensor) -> Tensor:
        maps = self.features(log_mel)                      # (N, C, 6, 4)
        flat = maps.permute(0, 2, 3, 1).flatten(1)         # TensorFlow's order: time, mel, channel
        return self.embeddings(flat)

    def _init_kaiming(self) -> None:
        for layer in (*self.features, *self.embeddings):
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity='relu')
                nn.init.zeros_(layer.bias)


def _convolutions(stage_channels: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    channels = 1
    for width, depth in zip(stage_channels, STAGE_DEPTHS, strict=True):
        for _ in range(depth):
            layers += [nn.Conv2d(channels, width, kernel_size=3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
    return layers
