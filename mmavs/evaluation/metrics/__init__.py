"""Metrics for mmengine's evaluator."""

from mmavs.evaluation.metrics.avs_metric import AVSMetric
from mmavs.evaluation.metrics.avs_semantic_metric import AVSSemanticMetric

__all__ = ['AVSMetric', 'AVSSemanticMetric']
