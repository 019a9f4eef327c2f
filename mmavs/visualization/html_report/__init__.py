"""A test run as a web page that opens from disk: scores, histogram, and every clip with pictures and sound."""

from mmavs.visualization.html_report.clip_media import ClipMedia, media_name, write_clip_media
from mmavs.visualization.html_report.page import write_page
from mmavs.visualization.html_report.sound import write_sound

__all__ = ['ClipMedia', 'media_name', 'write_clip_media', 'write_page', 'write_sound']
