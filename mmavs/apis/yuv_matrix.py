"""The matrix between a film's YUV and RGB.

A film may say which one it is in. Where it does not, players take BT.709 for high definition and BT.601 for smaller
pictures. Films are read by the same rule, and written by it with the tag that says so, so that they look the same in
players that read the tag and in those that guess.
"""

from typing import TYPE_CHECKING

from .media_file import import_av

if TYPE_CHECKING:
    import av

HD_LINES = 720
# FFmpeg's numbers, which are those of ITU-T H.273.
BT709, SMPTE170M = 1, 6
LIMITED = 1
# RGB, BT.709, FCC, BT.601 in two names, SMPTE 240M and BT.2020; the converter refuses films with the rarer ones.
CONVERTED = {0, BT709, 4, 5, SMPTE170M, 7, 9}


def usual_matrix(lines: int) -> 'av.video.reformatter.Colorspace':
    """The matrix of a film that does not name its own.

    Args:
        lines: Height of the stored picture in pixels.

    Returns:
        PyAV's name of BT.709 from 720 lines on, of BT.601 below.
    """
    matrices = import_av().video.reformatter.Colorspace
    return matrices.ITU709 if lines >= HD_LINES else matrices.ITU601


def matrix_of(picture: 'av.VideoFrame') -> 'av.video.reformatter.Colorspace | None':
    """What to read a decoded picture by; None where it has a tag that FFmpeg's converter knows and goes by itself."""
    return None if picture.colorspace in CONVERTED else usual_matrix(picture.height)


def tag(context: 'av.VideoCodecContext') -> None:
    """Write into a film what :func:`usual_matrix` says of its height, and the primaries and range of a screen."""
    hd = context.height >= HD_LINES
    context.colorspace = BT709 if hd else SMPTE170M
    context.color_primaries = context.color_trc = BT709
    context.color_range = LIMITED
