"""Metrics for mmengine's evaluator."""

from mmavs.evaluation.metrics.avs_metric import AVSMetric
from mmavs.evaluation.metrics.avs_semantic_metric import AVSSemanticMetric
from mmavs.evaluation.metrics.false_positive_metric import FalsePositiveMetric

__all__ = ['AVSMetric', 'AVSSemanticMetric', 'FalsePositiveMetric']
