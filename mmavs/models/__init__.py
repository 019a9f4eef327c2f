"""Models: backbones, neck, pixel decoders, decode head, segmentor, losses, data preprocessor."""

from mmavs.models.audio_backbones import VGGish
from mmavs.models.backbones import PVTv2
from mmavs.models.data_preprocessor import AVDataPreprocessor
from mmavs.models.decode_heads import MADHead
from mmavs.models.losses import AVSDiceLoss
from mmavs.models.necks import MTENeck
from mmavs.models.pixel_decoders import CIPPixelDecoder, FPNPixelDecoder
from mmavs.models.segmentors import AVSegmentor

__all__ = [
    'AVDataPreprocessor', 'AVSDiceLoss', 'AVSegmentor', 'CIPPixelDecoder', 'FPNPixelDecoder', 'MADHead', 'MTENeck',
    'PVTv2', 'VGGish',
]
