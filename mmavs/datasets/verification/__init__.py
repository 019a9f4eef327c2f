"""Looks over a whole AVSBench subset: tables, pictures, masks, sounds, leaks and duplicates."""

from .clips import ClipFacts, inspect_clip
from .findings import LEVELS, Finding, Report
from .subset import PUBLISHED_CLIPS, verify_subset

__all__ = ['LEVELS', 'PUBLISHED_CLIPS', 'ClipFacts', 'Finding', 'Report', 'inspect_clip', 'verify_subset']
