"""Losses."""

from mmavs.models.losses.dice_loss import AVSDiceLoss

__all__ = ['AVSDiceLoss']
