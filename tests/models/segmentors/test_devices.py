"""Whether training and prediction stay on the device of the inputs, shown without a GPU.

Fake tensors know their device and refuse to mix two. The device is 'meta', the only one besides 'cpu' that every build
of PyTorch can index.
"""

import contextlib
import importlib
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

from mmavs.registry import MODELS
from mmavs.structures import AVDataSample

CONFIGS = Path(__file__).parents[3] / 'configs' / 'avs_mamba'


class NumbersAreZero(TorchFunctionMode):
    """Lets the model read a number from a fake tensor, which has none."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return 0 if func in (Tensor.__int__, Tensor.item) else func(*args, **(kwargs or {}))


@pytest.fixture
def meta(monkeypatch):
    """The device 'meta' with the two things that it lacks: a backend of scans, and autocast."""
    real = torch.autocast
    scan = importlib.import_module('mmavs.ops.cross_selective_scan')
    monkeypatch.setattr(scan, 'resolve_backend', lambda backend, device_type: 'torch')
    monkeypatch.setattr(torch, 'autocast', lambda device_type, *args, **kwargs: (
        contextlib.nullcontext() if device_type == 'meta' else real(device_type, *args, **kwargs)))
    return torch.device('meta')


def build(name):
    settings = Config.fromfile(CONFIGS / name).model
    settings.backbone.init_cfg = settings.audio_backbone.init_cfg = None
    if settings.backbone.type == 'mmavs.PVTv2':
        settings.backbone.arch, settings.neck.in_channels = 'b0', (32, 64, 160, 256)
    for part in (settings.backbone, settings.neck, settings.decode_head, settings.decode_head.pixel_decoder):
        part.with_cp = False
    # The number of pieces depends on values.
    settings.decode_head.update(mlp_channels=16, mask_mlp='plain')
    return MODELS.build(settings)


def move(model, device):
    """Parameters and buffers to a device, as ``model.to`` does it, which fake tensors do not support."""
    for module in model.modules():
        for key, x in list(module.named_parameters(recurse=False)):
            setattr(module, key, torch.nn.Parameter(torch.empty_like(x, device=device), x.requires_grad))
        for key, x in list(module.named_buffers(recurse=False)):
            setattr(module, key, torch.empty_like(x, device=device))
    model.data_preprocessor._device = device


def make_data(size=64):
    samples = [AVDataSample(gt_sem_seg=PixelData(data=torch.zeros(t, size, size, dtype=torch.uint8)),
                            metainfo=dict(ori_shape=(size, size))) for t in (2, 1)]
    inputs = dict(img=[torch.zeros(t, 3, size, size, dtype=torch.uint8) for t in (2, 1)],
                  audio=[torch.zeros(t, 1, 96, 64) for t in (2, 1)])
    return dict(inputs=inputs, data_samples=samples)


@pytest.mark.parametrize('name', ['pvt_ms3.py', 'r50_avss.py'])
def test_everything_stays_on_the_device(name, meta):
    model = build(name)
    with FakeTensorMode(allow_non_fake_inputs=True), NumbersAreZero():
        move(model, meta)
        loss, _ = model.parse_losses(model(**model.data_preprocessor(make_data(), True), mode='loss'))
        loss.backward()
        assert {p.grad.device for p in model.parameters() if p.requires_grad} == {meta}
        model.eval()
        with torch.no_grad():
            samples = model(**model.data_preprocessor(make_data(), False), mode='predict')
        assert [(x.pred_sem_seg.data.device, x.pred_sem_seg.data.shape) for x in samples] == [
            (meta, (2, 64, 64)), (meta, (1, 64, 64))]
