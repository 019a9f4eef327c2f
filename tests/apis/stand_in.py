"""A stand-in for a trained model: it marks what is blue, and keeps what it was given."""

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from torch import nn

from mmavs.registry import MODELS

BLUE_CLASS = 13
INPUT_SIZE = (32, 32)


@MODELS.register_module(force=True)
class BlueSegmentor(BaseModel):
    """Predicts class 13, or a probability of 0.9, where a picture is blue."""

    def __init__(self, num_classes: int = 1, data_preprocessor: dict | None = None) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.decode_head = nn.Linear(1, 1)
        self.decode_head.num_classes = num_classes
        self.decode_head.threshold = 0.5
        self.batches = []

    def forward(self, inputs, data_samples=None, mode='tensor'):
        self.batches.append(inputs)
        begin = 0
        for sample, length in zip(data_samples, inputs['clip_lengths'], strict=True):
            img = inputs['img'][begin:begin + length]
            begin += length
            img = F.interpolate(img, size=sample.ori_shape, mode='bilinear')
            blue = img[:, 2] - img[:, 0] > 80
            sample.pred_sem_seg = PixelData(data=blue.to(torch.uint8))
            if self.decode_head.num_classes == 1:
                sample.pred_scores = PixelData(data=torch.where(blue, 0.9, 0.1))
            else:
                sample.pred_sem_seg.data = blue.to(torch.uint8) * BLUE_CLASS
        return data_samples


def config(num_classes: int = 1, scale: tuple[int, int] = INPUT_SIZE) -> Config:
    """A config with the stand-in and the usual test pipeline."""
    pipeline = [
        dict(type='mmavs.LoadClipFrames'),
        dict(type='mmavs.ClipResize', scale=scale),
        dict(type='mmavs.LoadClipMasks'),
        dict(type='mmavs.LogMelSpectrogram'),
        dict(type='mmavs.PackAVSInputs'),
    ]
    return Config(dict(
        default_scope='mmseg',
        model=dict(type='mmavs.BlueSegmentor', num_classes=num_classes, data_preprocessor=dict(
            type='mmavs.AVDataPreprocessor', mean=[0, 0, 0], std=[1, 1, 1])),
        test_dataloader=dict(dataset=dict(pipeline=pipeline))))
