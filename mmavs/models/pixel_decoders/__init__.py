"""Pixel decoders, which make the mask feature."""

from mmavs.models.pixel_decoders.cip_pixel_decoder import CIPPixelDecoder
from mmavs.models.pixel_decoders.fpn_pixel_decoder import FPNPixelDecoder

__all__ = ['CIPPixelDecoder', 'FPNPixelDecoder']
