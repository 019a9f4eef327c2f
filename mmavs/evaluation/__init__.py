"""Evaluation: pure functions, metrics for mmengine, bootstrap intervals and the result table."""

from mmavs.evaluation.functional import f_measure, frame_iou, jaccard_index
from mmavs.evaluation.metrics import AVSMetric, AVSSemanticMetric, FalsePositiveMetric

__all__ = ['AVSMetric', 'AVSSemanticMetric', 'FalsePositiveMetric', 'f_measure', 'frame_iou', 'jaccard_index']
