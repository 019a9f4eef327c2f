"""Necks."""

from mmavs.models.necks.mte_neck import MTENeck

__all__ = ['MTENeck']
