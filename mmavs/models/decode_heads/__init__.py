"""Decode heads."""

from mmavs.models.decode_heads.mad_head import MADHead

__all__ = ['MADHead']
