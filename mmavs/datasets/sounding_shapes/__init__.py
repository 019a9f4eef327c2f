"""SoundingShapes: a small generated benchmark for audio-visual segmentation in AVSBench's published layouts.

Moving shapes of 8 kinds, each with its own timbre, over a textured background. In each second some of them sound; the
mask of a frame is that of the shapes that sound in its second. Which ones sound cannot be seen, only heard.
"""

from .generate import Recipe, frame_jaccard, generate, make_clip, vision_only_J
from .kinds import KIND_CLASSES, KINDS
from .layouts import SUBSET_FOLDERS, Clip

__all__ = ['KINDS', 'KIND_CLASSES', 'SUBSET_FOLDERS', 'Clip', 'Recipe', 'frame_jaccard', 'generate', 'make_clip',
           'vision_only_J']
