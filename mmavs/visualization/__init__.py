"""Drawing: overlays, contact sheets, feature maps, and the visualiser that mm configs name."""

from mmavs.visualization.canvas import Page, PictureRow
from mmavs.visualization.colours import as_palette, log_mel_images
from mmavs.visualization.contact_sheet import contact_sheet
from mmavs.visualization.features import feature_overlay, principal_components
from mmavs.visualization.files import read_frames, write_masks, write_picture
from mmavs.visualization.highlight import class_legend, highlight, highlight_small
from mmavs.visualization.local_visualizer import AVSLocalVisualizer
from mmavs.visualization.overlay import colour_mask, error_map, overlay

__all__ = [
    'AVSLocalVisualizer', 'Page', 'PictureRow', 'as_palette', 'class_legend', 'colour_mask', 'contact_sheet',
    'error_map', 'feature_overlay', 'highlight', 'highlight_small', 'log_mel_images', 'overlay',
    'principal_components', 'read_frames', 'write_masks', 'write_picture'
]
