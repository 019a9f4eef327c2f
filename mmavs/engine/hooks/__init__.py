"""Hooks of training and testing."""

from mmavs.engine.hooks.atomic_checkpoint_hook import AtomicCheckpointHook
from mmavs.engine.hooks.avs_visualization_hook import AVSVisualizationHook
from mmavs.engine.hooks.freeze_backbone_hook import FreezeBackboneHook
from mmavs.engine.hooks.invalid_loss_hook import InvalidLossError, InvalidLossHook
from mmavs.engine.hooks.preemption_hook import EXIT_PREEMPTED, PreemptionHook
from mmavs.engine.hooks.provenance_hook import ProvenanceHook
from mmavs.engine.hooks.report_hook import ReportHook
from mmavs.engine.hooks.skipped_clips_hook import SkippedClipsHook

__all__ = [
    'EXIT_PREEMPTED', 'AVSVisualizationHook', 'AtomicCheckpointHook', 'FreezeBackboneHook', 'InvalidLossError',
    'InvalidLossHook', 'PreemptionHook', 'ProvenanceHook', 'ReportHook', 'SkippedClipsHook'
]
