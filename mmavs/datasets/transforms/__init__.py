"""Clip transforms: loading, augmentation with parameters shared by the frames of a clip, log-mel, packing."""

from .formatting import PackAVSInputs
from .log_mel import vggish_log_mel

__all__ = ['PackAVSInputs', 'vggish_log_mel']
