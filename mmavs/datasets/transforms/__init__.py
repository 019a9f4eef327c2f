"""Clip transforms: loading, augmentation with parameters shared by the frames of a clip, log-mel, packing."""

from .audio import LogMelSpectrogram
from .formatting import PackAVSInputs
from .geometry import ClipRandomFlip, ClipRandomResizedCrop, ClipResize
from .loading import LoadClipFrames, LoadClipMasks
from .log_mel import vggish_log_mel
from .photometric import ClipPhotoMetricDistortion
from .replace_sound import ReplaceSound

__all__ = [
    'ClipPhotoMetricDistortion', 'ClipRandomFlip', 'ClipRandomResizedCrop', 'ClipResize', 'LoadClipFrames',
    'LoadClipMasks', 'LogMelSpectrogram', 'PackAVSInputs', 'ReplaceSound', 'vggish_log_mel']
