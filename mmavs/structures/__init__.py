"""Data structures that travel between the dataset, the model and the metrics."""

from .av_data_sample import AVDataSample
from .avss_classes import AVSS_CLASSES, avss_palette

__all__ = ['AVSS_CLASSES', 'AVDataSample', 'avss_palette']
