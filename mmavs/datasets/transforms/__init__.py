"""Clip transforms: loading, augmentation with parameters shared by the frames of a clip, log-mel, packing."""

from .formatting import PackAVSInputs

__all__ = ['PackAVSInputs']
