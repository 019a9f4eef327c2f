"""Data structures that travel between the dataset, the model and the metrics."""

from .av_data_sample import AVDataSample

__all__ = ['AVDataSample']
