"""The original sound of a film, packet by packet into another film."""

from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from .audio_reader import audio_stream
from .media_file import MediaError, decoded, import_av, open_media, packets, reason, zero_time

if TYPE_CHECKING:
    import av

# What players expect to find in each container; everything else is encoded anew.
COPIED = {
    '.mp4': {'aac', 'mp3', 'ac3', 'eac3', 'alac', 'opus', 'flac'},
    '.m4v': {'aac', 'ac3', 'alac'},
    '.mov': {'aac', 'mp3', 'ac3', 'eac3', 'alac', 'pcm_s16le', 'pcm_s16be', 'pcm_s24le'},
    '.mkv': {'aac', 'mp3', 'mp2', 'ac3', 'eac3', 'dts', 'opus', 'vorbis', 'flac', 'pcm_s16le', 'pcm_s24le'},
    '.webm': {'opus', 'vorbis'},
}
ENCODER = {'.mp4': 'aac', '.m4v': 'aac', '.mov': 'aac', '.mkv': 'aac', '.webm': 'libopus'}
BITS_PER_CHANNEL = 96_000
# Containers round the time at which a recording begins; a decoder's run-up is several times as long.
ROUNDING = Fraction(1, 1000)
# Rates that the encoders above take.
RATES = {'aac': (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350),
         'libopus': (48000, 24000, 16000, 12000, 8000)}


class SoundTrack:
    """Brings the sound of one film into another: unchanged where the container takes it, else encoded anew.

    Args:
        path: The film whose sound is taken.
        output: The film that is written; its audio stream is added here.
        suffix: Its container, e.g. ``.mp4``.

    Attributes:
        copied: True if packets are copied, False if the sound is encoded anew.

    Raises:
        MediaError: If the file has no sound.
    """

    def __init__(self, path: Path, output: 'av.container.OutputContainer', suffix: str) -> None:
        self._stack = ExitStack()
        self._container = self._stack.enter_context(open_media(path))
        self._output, self._path = output, path
        try:
            self._input = audio_stream(self._container, path)
            self._zero = zero_time(self._container)
            self.copied = _can_be_copied(path, self._input, suffix)
            self.stream = output.add_stream_from_template(self._input) if self.copied else self._encoder(suffix)
        except BaseException:
            self.close()
            raise
        self._packets = self._copy() if self.copied else self._encode()
        self._next = next(self._packets, None)

    def write_until(self, seconds: Fraction | None) -> None:
        """Write the packets that begin before a time, or all that are left.

        Args:
            seconds: Seconds from the beginning of the recording; None writes to the end.
        """
        while self._next is not None and (seconds is None or self._next[0] <= seconds):
            self._output.mux(self._next[1])
            self._next = next(self._packets, None)

    def close(self) -> None:
        """Close the film that is read."""
        self._stack.close()

    def _encoder(self, suffix: str) -> 'av.AudioStream':
        context, codec = self._input.codec_context, ENCODER[suffix]
        rate = min(RATES[codec], key=lambda known: (known < context.sample_rate, abs(known - context.sample_rate)))
        layout = context.layout.name if context.layout.nb_channels <= 2 else 'stereo'
        stream = self._output.add_stream(codec, rate=rate, layout=layout if layout in ('mono', 'stereo') else 'mono')
        stream.codec_context.bit_rate = BITS_PER_CHANNEL * stream.codec_context.layout.nb_channels
        return stream

    def _copy(self) -> Iterator[tuple[Fraction, 'av.Packet']]:
        """Packets with their times, moved so that the recording begins at 0."""
        last = None
        for packet in packets(self._container, self._input):
            if packet.dts is None or packet.size == 0 or packet.is_corrupt:
                continue
            shift = round(self._zero / packet.time_base)
            packet.pts, packet.dts = (packet.pts if packet.pts is not None else packet.dts) - shift, packet.dts - shift
            # A muxer refuses time stamps that step back, which damaged films have.
            if last is not None and packet.dts <= last:
                continue
            last = packet.dts
            packet.stream = self.stream
            yield packet.dts * packet.time_base, packet

    def _encode(self) -> Iterator[tuple[Fraction, list['av.Packet']]]:
        av = import_av()
        context = self.stream.codec_context
        cutter = av.AudioResampler(format=context.format, layout=context.layout, rate=context.rate,
                                   frame_size=context.frame_size or None)
        seconds, position = Fraction(0), 0
        for frame in chain(self._converted(), [None]):
            for piece in cutter.resample(frame):
                start = position if piece.pts is None else (piece.pts * piece.time_base - self._zero) * context.rate
                # Encoders refuse time stamps that step back, which damaged films have.
                piece.pts, piece.time_base = max(position, round(start)), Fraction(1, context.rate)
                position = piece.pts + piece.samples
                seconds = piece.pts * piece.time_base
                yield seconds, self.stream.encode(piece)
        yield seconds, self.stream.encode(None)

    def _converted(self) -> Iterator['av.AudioFrame']:
        """The sound in the encoder's format and rate; a film may change its own on the way."""
        av = import_av()
        context = self.stream.codec_context
        settings = dict(format=context.format, layout=context.layout, rate=context.rate)
        setup, resampler = None, av.AudioResampler(**settings)
        for frame in chain(decoded(self._container, self._input), [None]):
            new, pieces = _setup(frame), []
            try:
                if new != setup:
                    # What the old resampler still holds comes before the new sound.
                    pieces = resampler.resample(None)
                    setup, resampler = new, av.AudioResampler(**settings)
                pieces += resampler.resample(frame)
            except (av.FFmpegError, ValueError) as error:
                raise MediaError(f'{self._path} has sound that cannot be encoded anew: {reason(error)}.') from None
            for piece in pieces:
                if piece.pts is not None:
                    piece.pts = round(piece.pts * piece.time_base * context.rate)
                piece.time_base = Fraction(1, context.rate)
                yield piece


def _setup(frame: 'av.AudioFrame | None') -> tuple[str, str, int] | None:
    return None if frame is None else (frame.format.name, frame.layout.name, frame.sample_rate)


def _can_be_copied(path: Path, stream: 'av.AudioStream', suffix: str) -> bool:
    context = stream.codec_context
    codec = context.codec.canonical_name
    # AAC without a header for all of it says with each packet how it is stored, and may change on the way.
    changes = codec == 'aac' and not context.extradata
    return codec in COPIED[suffix] and not changes and not _loses_run_up(path, codec, suffix)


def _loses_run_up(path: Path, codec: str, suffix: str) -> bool:
    """Whether copied sound would begin late: its decoder needs packets from before second 0 to get going.

    MP4 says in an edit list how much of the beginning is not to be heard. Matroska has a field for it, which is filled
    from another Matroska file, and from Opus itself; without it the whole film would begin later by as much.
    """
    if suffix not in ('.mkv', '.webm') or codec == 'opus':
        return False
    with open_media(path) as container:
        if 'matroska' in container.format.name:
            return False
        first = next(packets(container, audio_stream(container, path)), None)
        if first is None or first.pts is None:
            return False
        return first.pts * first.time_base < zero_time(container) - ROUNDING
