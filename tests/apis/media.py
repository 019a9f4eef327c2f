"""Generated films for the tests: small pictures with a square that moves, a tone that rises."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT = 64, 48


def picture(index: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Grey ground, a blue square whose place tells the frame's number."""
    image = np.full((height, width, 3), 90, np.uint8)
    left = 4 + index % 10 * 4
    image[height // 3:height // 3 + 12, left:left + 12] = (30, 60, 220)
    return image


def tone(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    """A rising tone whose loudness changes; shape (channels, n), float32. Channels differ in loudness."""
    time = np.arange(round(seconds * rate)) / rate
    wave = 0.5 * np.sin(2 * np.pi * (220 * time + 40 * time ** 2)) * (0.6 + 0.4 * np.sin(2 * np.pi * 1.3 * time))
    return np.stack([wave / (1 + channel) for channel in range(channels)]).astype(np.float32)


def write_film(path: Path, seconds: float = 3.0, fps: Fraction | int = 10, codec: str | None = 'mpeg4',
               audio: str | None = 'aac', rate: int = 16000, layout: str = 'mono',
               size: tuple[int, int] = (WIDTH, HEIGHT), pix_fmt: str | None = None,
               times: list[Fraction] | None = None, rotation: int = 0, container: str | None = None,
               start: int = 0) -> Path:
    """Write a film; ``codec=None`` leaves out the picture, ``audio=None`` the sound.

    ``times`` are the frames' times in seconds for a variable frame rate; ``start`` is the first time stamp in seconds.
    """
    fps, base = Fraction(fps), 1 / Fraction(fps) if times is None else Fraction(1, 1000)
    times = times if times is not None else [index / fps for index in range(round(seconds * fps))]
    with av.open(str(path), 'w', format=container, options={'strict': 'experimental'}) as output:
        video = sound = None
        if codec is not None:
            video = output.add_stream(codec, rate=fps)
            video.width, video.height = size
            video.pix_fmt = pix_fmt or video.codec_context.codec.video_formats[0].name
            if rotation:
                video.set_display_rotation(rotation)
        if audio is not None:
            sound = output.add_stream(audio, rate=rate, layout=layout)
        if video is not None:
            _write_pictures(output, video, [start + time for time in times], base, size)
        if sound is not None:
            _write_sound(output, sound, tone(seconds, rate, sound.layout.nb_channels), rate, start)
    return path


def _write_pictures(output, video, times, base, size) -> None:
    video.codec_context.time_base = base
    for index, seconds in enumerate(times):
        frame = av.VideoFrame.from_ndarray(picture(index, *size), format='rgb24')
        frame.pts, frame.time_base = round(seconds / base), base
        output.mux(video.encode(frame))
    output.mux(video.encode(None))


def _write_sound(output, sound, samples, rate, start) -> None:
    context = sound.codec_context
    resampler = av.AudioResampler(format=context.format, layout=context.layout, rate=rate,
                                  frame_size=context.frame_size or 1024)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format='fltp', layout=context.layout.name)
    frame.sample_rate, frame.pts, frame.time_base = rate, start * rate, Fraction(1, rate)
    for piece in [*resampler.resample(frame), *resampler.resample(None)]:
        output.mux(sound.encode(piece))
    output.mux(sound.encode(None))


def read_sound(path: Path) -> tuple[np.ndarray, int]:
    """Mono samples of a film's sound by plain decoding, from its first sample on."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        frames = list(container.decode(stream))
        resampler = av.AudioResampler(format='fltp', layout=frames[0].layout, rate=frames[0].sample_rate)
        pieces = [piece.to_ndarray().mean(axis=0) for frame in frames for piece in resampler.resample(frame)]
        return np.concatenate(pieces), frames[0].sample_rate


def read_pictures(path: Path) -> list[tuple[float, np.ndarray]]:
    """Times and RGB pictures of a film by plain decoding."""
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray(format='rgb24')) for frame in container.decode(video=0)]
