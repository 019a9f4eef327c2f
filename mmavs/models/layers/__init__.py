"""The Mamba blocks: one scan core, and thin blocks around it."""

from mmavs.models.layers.a2v_block import A2VBlock
from mmavs.models.layers.mix_ffn import MixFFN
from mmavs.models.layers.multi_order_scan import MultiOrderScan
from mmavs.models.layers.v2a_block import V2ABlock
from mmavs.models.layers.visual_scan_block import TemporalMambaBlock, VSSBlock

__all__ = ['A2VBlock', 'MixFFN', 'MultiOrderScan', 'TemporalMambaBlock', 'V2ABlock', 'VSSBlock']
