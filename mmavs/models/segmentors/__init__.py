"""Segmentors."""

from mmavs.models.segmentors.av_segmentor import AVSegmentor

__all__ = ['AVSegmentor']
