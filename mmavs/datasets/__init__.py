"""Data sets: AVSBench in its published layouts, and SoundingShapes, which is generated in the same ones."""

from .avsbench_dataset import AVSBenchDataset
from .errors import ClipDataError, DataFileError

__all__ = ['AVSBenchDataset', 'ClipDataError', 'DataFileError']
