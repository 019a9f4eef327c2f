"""Visual backbones: frames -> feature maps at four strides."""

from mmavs.models.backbones.pvt_v2 import PVTv2

__all__ = ['PVTv2']
