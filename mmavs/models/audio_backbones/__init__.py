"""Audio backbones: log-mel examples -> feature vectors."""

from mmavs.models.audio_backbones.vggish import VGGish

__all__ = ['VGGish']
