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
    '.m4v': {'aac', 'mp3', 'ac3', 'eac3', 'alac'},
    '.mov': {'aac', 'mp3', 'ac3', 'eac3', 'alac', 'pcm_s16le', 'pcm_s16be', 'pcm_s24le'},
    '.mkv': {'aac', 'mp3', 'mp2', 'ac3', 'eac3', 'dts', 'opus', 'vorbis', 'flac', 'pcm_s16le', 'pcm_s24le'},
    '.webm': {'opus', 'vorbis'},
}
ENCODER = {'.mp4': 'aac', '.m4v': 'aac', '.mov': 'aac', '.mkv': 'aac', '.webm': 'libopus'}
BITS_PER_CHANNEL = 96_000
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
            self.copied = self._input.codec_context.codec.canonical_name in COPIED[suffix]
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
        resampler = av.AudioResampler(format=context.format, layout=context.layout, rate=context.rate,
                                      frame_size=context.frame_size or None)
        seconds, position = Fraction(0), 0
        for frame in chain(decoded(self._container, self._input), [None]):
            try:
                pieces = resampler.resample(frame)
            except (av.FFmpegError, ValueError) as error:
                raise MediaError(f'{self._path} has sound that cannot be encoded anew: {reason(error)}.') from None
            for piece in pieces:
                start = position if piece.pts is None else (piece.pts * piece.time_base - self._zero) * context.rate
                # Encoders refuse time stamps that step back, which damaged films have.
                piece.pts, piece.time_base = max(position, round(start)), Fraction(1, context.rate)
                position = piece.pts + piece.samples
                seconds = piece.pts * piece.time_base
                yield seconds, self.stream.encode(piece)
        yield seconds, self.stream.encode(None)
