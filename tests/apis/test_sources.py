import cv2
import numpy as np
import pytest

from mmavs.apis.media_file import MediaError, NoSoundError
from mmavs.apis.sources import FrameSource, VideoSource, folder_source, make_source

from .media import picture, tone, write_film


def make_folder(path, count=3, sounds=1, size=(64, 48)):
    path.mkdir()
    for index in range(count):
        cv2.imwrite(str(path / f'clip_{index + 1}.png'), picture(index, *size)[..., ::-1])
    for index in range(sounds):
        write_film(path / f'sound{index}.wav', seconds=count or 1, codec=None, audio='pcm_s16le')
    return path


def test_film_gives_a_frame_each_second(film):
    source = VideoSource(film)
    assert (source.name, source.size) == ('clip', (48, 64))
    frames = list(source.frames())
    assert [float(seconds) for seconds, _ in frames] == [k + 0.9375 for k in range(7)]
    # Second 0.9375 shows the picture of second 0.9.
    assert np.median(np.abs(frames[2][1].astype(int) - picture(29))) <= 2


def test_more_masks_a_second(film):
    assert len(list(VideoSource(film, fps=4).frames())) == 28


def test_films_that_cannot_be_used_fail_at_once(tmp_path, silent_film):
    with pytest.raises(MediaError, match='no audio stream'):
        VideoSource(silent_film)
    assert len(list(VideoSource(silent_film, audio='silence').frames())) == 2
    with pytest.raises(MediaError, match='does not exist'):
        VideoSource(tmp_path / 'none.mp4')
    with pytest.raises(ValueError, match='whole number of masks'):
        VideoSource(silent_film, fps=0, audio='silence')


def test_folder_of_frames(tmp_path):
    source = make_source(make_folder(tmp_path / 'some_clip', count=11))
    assert source.name == 'some_clip'
    frames = list(source.frames())
    # By number: clip_2 comes before clip_10.
    for index, (seconds, frame) in enumerate(frames):
        assert float(seconds) == index + 0.9375
        assert np.array_equal(frame, picture(index))
    assert len(source.sound(3).read(0, 11)) == 11 * 16000


@pytest.mark.parametrize(('count', 'sounds', 'message'), [
    (0, 1, 'has no frames'), (2, 2, 'has 2 sound files; exactly one is expected'),
    (2, 0, "has no sound file .*; pass audio='silence'")])
def test_incomplete_folders(tmp_path, count, sounds, message):
    with pytest.raises(MediaError, match=message):
        folder_source(make_folder(tmp_path / 'x', count, sounds))


def test_silent_folder_and_damaged_frames(tmp_path):
    folder = make_folder(tmp_path / 'x', sounds=0)
    source = folder_source(folder, audio='silence')
    assert not source.sound(1).read(0, 1).any()
    (folder / 'clip_2.png').write_bytes(b'no picture')
    with pytest.raises(MediaError, match=r'clip_2\.png is damaged or no picture \(10 bytes\)'):
        list(source.frames())
    cv2.imwrite(str(folder / 'clip_2.png'), picture(0, 20, 16))
    with pytest.raises(MediaError, match=r'clip_2\.png is 20x16 pixels, the first frame of the clip 64x48'):
        list(source.frames())


def test_arrays():
    frames = np.stack([picture(index) for index in range(3)])
    waveform = tone(3, 8000, channels=2).T
    for item in ((frames, waveform, 8000), dict(frames=list(frames), waveform=waveform, sample_rate=8000)):
        source = make_source(item, name='clip_7')
        assert source.name == 'clip_7'
        assert source.size == (48, 64)
        assert [np.array_equal(frame, expected) for (_, frame), expected in
                zip(source.frames(), frames, strict=True)] == [True] * 3
        sound = source.sound(3)
        assert sound.rate == 8000
        assert np.allclose(sound.read(0, 3), waveform.mean(axis=1))


def test_arrays_without_sound():
    frames = [picture(0)]
    with pytest.raises(MediaError, match=r"clip has no sound \(waveform=None\); pass audio='silence'"):
        make_source((frames, None, None))
    assert not make_source((frames, None, None), audio='silence').sound(1).read(0, 1).any()
    for empty in (np.zeros(0), np.zeros((0, 2))):
        with pytest.raises(NoSoundError, match=r"clip has no sound \(0 samples\); pass audio='silence'"):
            make_source((frames, empty, 16000))
        assert make_source((frames, empty, 16000), audio='silence').sound(1).read(0, 1).shape == (16000, )


@pytest.mark.parametrize(('frames', 'error', 'message'), [
    ([], ValueError, 'clip has no frames'),
    (np.zeros((2, 4, 4), np.uint8), ValueError, r'have shape \(2, 4, 4\); expected \(T, H, W, 3\)'),
    (np.zeros((2, 4, 4, 3)), TypeError, 'Frame 0 of clip has dtype float64; expected uint8'),
    ([np.zeros((4, 4), np.uint8)], ValueError, r'Frame 0 of clip has shape \(4, 4\)')])
def test_wrong_frames(frames, error, message):
    with pytest.raises(error, match=message):
        FrameSource(frames, np.zeros(100), 16000)


@pytest.mark.parametrize('item', [3, None, dict(frames=[]), ('a.mp4', 'b.mp4')])
def test_no_inputs(item):
    with pytest.raises(TypeError, match='is no input: give the path of a film'):
        make_source(item)
