"""Prediction from films, folders of frames and arrays."""

from .clips import ClipPlan
from .inferencer import AVSInferencer
from .media_file import MediaError, NoSoundError
from .overlay_film import write_overlay_film
from .sources import make_source

__all__ = ['AVSInferencer', 'ClipPlan', 'MediaError', 'NoSoundError', 'make_source', 'write_overlay_film']
