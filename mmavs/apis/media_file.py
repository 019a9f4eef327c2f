"""Opening films and sound files with PyAV, and saying in one sentence what is wrong with one that cannot be used."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import av

# Only containers of recorded media. FFmpeg also "opens" play lists, text and device names, through which a file could
# make the reader open other files or addresses.
CONTAINERS = (
    'mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm', 'avi', 'flv', 'mpegts', 'mpeg', 'mpegvideo', 'ogg', 'asf', 'wav', 'w64',
    'gif', 'nut', 'mxf', 'rm', 'mjpeg', 'h264', 'hevc', 'ivf', 'm4v', 'obu', 'dv', 'swf', 'wtv', 'mp3', 'aac', 'flac',
    'aiff', 'caf', 'au', 'ac3', 'eac3', 'amr', 'apng', 'yuv4mpegpipe')
# Recordings do not pause for longer; a bigger step is a damaged time stamp.
LONGEST_GAP = 600


class MediaError(ValueError):
    """A media file is missing, damaged or not what was asked for. The message is one sentence naming the file."""


class NoSoundError(MediaError):
    """A film has no sound that can be read; it can still be predicted as a silent one."""


def import_av() -> Any:
    """The PyAV module.

    Raises:
        ImportError: If it is not installed; the message names the command.
    """
    try:
        import av
    except ImportError as error:
        raise ImportError('Reading and writing video needs PyAV, which cannot be imported here: '
                          'run `pip install -r requirements/video.txt`.') from error
    return av


@contextmanager
def open_media(path: str | Path) -> Iterator['av.container.InputContainer']:
    """Open a local film or sound file for reading.

    Args:
        path: Any file; the suffix is not looked at.

    Yields:
        PyAV's input container.

    Raises:
        MediaError: If the path is no file, or the file is empty, truncated or no film or sound.
    """
    av = import_av()
    path = Path(path)
    if path.is_dir():
        raise MediaError(f'{path} is a folder; a film or sound file is expected.')
    if not path.is_file():
        raise MediaError(f'{path} does not exist.')
    try:
        if path.stat().st_size == 0:
            raise MediaError(f'{path} is empty (0 bytes).')
        options = dict(format_whitelist=','.join(CONTAINERS), protocol_whitelist='file')
        container = av.open(f'file:{path.absolute()}', options=options, metadata_errors='ignore')
    except MediaError:
        raise
    except (av.FFmpegError, OSError, ValueError, OverflowError) as error:
        raise MediaError(f'{path} cannot be opened ({reason(error)}): it is truncated, damaged, or neither film nor '
                         'sound.') from None
    try:
        yield container
    finally:
        container.close()


def packets(container: 'av.container.InputContainer', stream: 'av.stream.Stream') -> Iterator['av.Packet']:
    """Packets of one stream up to the end or to the first place that cannot be read any more.

    A film whose end is cut off or overwritten still has its beginning, so damage ends the film and is no error; callers
    raise when nothing at all could be decoded. The last packet is empty and flushes the decoder.
    """
    av = import_av()
    iterator = container.demux(stream)
    while True:
        try:
            packet = next(iterator, None)
        except (av.FFmpegError, OSError, ValueError):
            return
        if packet is None:
            return
        yield packet


def decoded(container: 'av.container.InputContainer', stream: 'av.stream.Stream') -> Iterator['av.frame.Frame']:
    """Frames of one stream, leaving out what is damaged."""
    av = import_av()
    for packet in packets(container, stream):
        try:
            yield from packet.decode()
        except (av.FFmpegError, OSError, ValueError):
            continue


def zero_time(container: 'av.container.InputContainer') -> Fraction:
    """Time stamp at which the recording begins, in seconds: second 0 of everything in this package.

    MPEG transport streams and cut films begin at an arbitrary time stamp, common to picture and sound.
    """
    start = container.start_time
    return Fraction(start, 1_000_000) if start is not None else Fraction(0)


def reason(error: BaseException) -> str:
    """What an exception says, without PyAV's error number and file name."""
    text = getattr(error, 'strerror', None) or str(error) or type(error).__name__
    return str(text).splitlines()[0].rstrip('.').lower()
