import gc
import os
import time
import weakref
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from mmavs.apis import ClipPlan, MediaError, video_reader, write_overlay_film
from mmavs.apis.film_writer import FilmWriter
from mmavs.apis.overlay_film import FilmOptions, FilmReport
from mmavs.apis.stage_timer import StageTimer

from . import media
from .media import picture, read_pictures, read_sound, write_film

AMBER = np.array([255, 190, 11])


@pytest.fixture(scope='module')
def still_film(tmp_path_factory):
    """A film whose square does not move, so that the predicted mask is known at every time."""
    path = tmp_path_factory.mktemp('films') / 'still.mp4'
    real, media.picture = media.picture, lambda index, width, height: real(3, width, height)
    try:
        return write_film(path, seconds=6, size=(96, 72), rate=44100, layout='stereo')
    finally:
        media.picture = real


def test_film_with_masks_sound_and_strip(inferencer, still_film, tmp_path):
    out = tmp_path / 'out.mp4'
    assert write_overlay_film(inferencer, still_film, out) == FilmReport(frames=60, instants=6, sound='copied')
    pictures = read_pictures(out)
    assert [time for time, _ in pictures] == pytest.approx([index / 10 for index in range(60)], abs=1e-3)
    old, new = read_sound(still_film)[0], read_sound(out)[0]
    assert len(old) == len(new)
    assert np.corrcoef(old, new)[0, 1] > 0.99

    mask = np.zeros((72, 96), bool)
    mask[24:36, 16:28] = True
    original = picture(3, 96, 72).astype(float)
    for _, shown in pictures:
        assert shown.shape == (72 + 24, 96, 3)
        frame = shown[:72].astype(float)
        # Inside the mask, away from its border: half amber, half the film; the rest is the film.
        inside = frame[28:32, 20:24].mean(axis=(0, 1))
        assert np.abs(inside - (original[28:32, 20:24].mean(axis=(0, 1)) + AMBER) / 2).max() < 25
        far = np.ones_like(mask)
        far[16:44, 8:36] = False
        assert np.abs(frame - original)[far].max() < 20
        covered = frame[..., 0] - original[..., 0] > 40
        assert (covered & mask).sum() > 0.7 * mask.sum()
        assert not (covered & far).any()


def test_play_head_follows_the_time(inferencer, still_film, tmp_path):
    write_overlay_film(inferencer, still_film, tmp_path / 'out.mp4')
    pictures = read_pictures(tmp_path / 'out.mp4')
    for index in (5, 25, 55):
        strip = pictures[index][1][78:94].astype(int).min(axis=2).mean(axis=0)
        assert abs(int(np.argmax(strip)) - index * 96 / 100) <= 2


def test_without_strip_the_size_is_the_film_s(inferencer, still_film, tmp_path):
    write_overlay_film(inferencer, still_film, tmp_path / 'out.mkv', FilmOptions(strip=False))
    assert read_pictures(tmp_path / 'out.mkv')[0][1].shape == (72, 96, 3)


def test_class_model_names_its_classes(class_inferencer, still_film, tmp_path):
    write_overlay_film(class_inferencer, still_film, tmp_path / 'out.mp4', FilmOptions(strip=False))
    shown = read_pictures(tmp_path / 'out.mp4')[30][1].astype(int)
    # The label's dark ground in the upper left corner, with light letters on it.
    assert shown[5:20, 26:60].min() < 40
    assert shown[5:20, 26:60].max() > 200
    assert np.abs(shown[50:, 50:] - 90).max() < 20


def test_more_masks_and_overlap(inferencer, film, tmp_path):
    report = write_overlay_film(inferencer, film, tmp_path / 'out.mp4',
                                FilmOptions(plan=ClipPlan(3, 1), fps=3, batch_size=2))
    assert (report.frames, report.instants) == (70, 21)


def test_film_of_variable_rate_keeps_its_times(inferencer, tmp_path):
    times = [Fraction(value, 1000) for value in (0, 33, 500, 512, 1200, 2900)]
    source = write_film(tmp_path / 'v.mkv', times=times, seconds=3)
    write_overlay_film(inferencer, source, tmp_path / 'out.mkv')
    assert [time for time, _ in read_pictures(tmp_path / 'out.mkv')] == pytest.approx([float(t) for t in times])


def test_silent_film(inferencer, silent_film, tmp_path):
    with pytest.raises(MediaError, match="pass audio='silence'"):
        write_overlay_film(inferencer, silent_film, tmp_path / 'out.mp4')
    report = write_overlay_film(inferencer, silent_film, tmp_path / 'out.mp4', FilmOptions(audio='silence'))
    assert report == FilmReport(frames=20, instants=2, sound='none')


def test_the_film_itself_is_not_overwritten(inferencer, film):
    content = film.read_bytes()
    with pytest.raises(MediaError, match='is the film itself'):
        write_overlay_film(inferencer, film, film)
    assert film.read_bytes() == content


@pytest.mark.parametrize(('options', 'message'), [
    (FilmOptions(between='fade'), 'between'), (FilmOptions(alpha=2.0), 'alpha'), (FilmOptions(fps=0), 'fps')])
def test_wrong_options_leave_nothing_behind(inferencer, film, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        write_overlay_film(inferencer, film, tmp_path / 'out.mp4', options)
    assert list(tmp_path.iterdir()) == []


def test_stages(inferencer, film, tmp_path):
    timer = StageTimer()
    write_overlay_film(inferencer, film, tmp_path / 'out.mp4', timer=timer)
    assert {'decode', 'log-mel', 'network', 'draw', 'encode'} <= set(timer.seconds)


def test_the_end_of_encoding_counts_as_encoding(monkeypatch, inferencer, silent_film, tmp_path):
    real, timer = FilmWriter.__exit__, StageTimer()
    monkeypatch.setattr(FilmWriter, '__exit__', lambda *args: time.sleep(0.5) or real(*args))
    write_overlay_film(inferencer, silent_film, tmp_path / 'out.mp4', FilmOptions(audio='silence'), timer)
    assert timer.seconds['encode'] > 0.5
    assert timer.seconds['draw'] < 0.5


def most_held(monkeypatch, inferencer, source, out, **options):
    """The greatest number of converted pictures and of predictions that exist at one time."""
    alive, most = dict(pictures=0, scores=0), dict(pictures=0, scores=0)

    def count(array, kind):
        def gone():
            alive[kind] -= 1

        alive[kind] += 1
        most[kind] = max(most[kind], alive[kind])
        weakref.finalize(array, gone)
        return array

    real = video_reader.to_rgb
    monkeypatch.setattr(video_reader, 'to_rgb', lambda *args: count(real(*args).copy(), 'pictures'))
    shrink = inferencer.pipeline.shrink
    monkeypatch.setattr(inferencer.pipeline, 'shrink', lambda frame: count(shrink(frame).copy(), 'scores'))
    gc.collect()
    report = write_overlay_film(inferencer, source, out, FilmOptions(**options))
    monkeypatch.undo()
    return report, most


def test_memory_does_not_grow_with_the_length(monkeypatch, inferencer, tmp_path):
    held = {}
    for seconds in (12, 40):
        source = write_film(tmp_path / f'{seconds}.mkv', seconds=seconds, fps=4, codec='mjpeg', audio='pcm_s16le',
                            rate=8000, size=(32, 32))
        report, held[seconds] = most_held(monkeypatch, inferencer, source, tmp_path / 'out.mkv', fps=2)
        assert (report.frames, report.instants) == (4 * seconds, 2 * seconds)
    assert held[40] == held[12]
    # Full pictures: the one that is drawn on and the one that is made small; small ones: two clips at two a second.
    assert held[40]['pictures'] <= 3
    assert held[40]['scores'] <= 2 * 2 * 5


def test_instants_are_told_in_order(inferencer, film, tmp_path):
    told = []
    report = write_overlay_film(inferencer, film, tmp_path / 'out.mp4', FilmOptions(fps=2), on_instant=told.append)
    assert [prediction.index for prediction in told] == list(range(14))
    assert report.instants == 14


@pytest.mark.parametrize(('rate', 'seconds', 'fps', 'instants'), [(Fraction(1, 2), 6, 1, 6), (10, 2, 60, 120)])
def test_instants_while_the_last_picture_is_shown_are_told(inferencer, tmp_path, rate, seconds, fps, instants):
    # The last picture appears 2 s (0.1 s) before the end, and 2 (6) instants lie in that time.
    source, told = write_film(tmp_path / 'slow.mp4', fps=rate, seconds=seconds), []
    report = write_overlay_film(inferencer, source, tmp_path / 'out.mp4', FilmOptions(fps=fps), on_instant=told.append)
    assert report.frames == rate * seconds
    assert report.instants == instants
    assert [prediction.index for prediction in told] == list(range(instants))


def test_long_films_can_be_refused(monkeypatch, inferencer, film, tmp_path):
    assert write_overlay_film(inferencer, film, tmp_path / 'out.mp4', FilmOptions(longest=7.5)).frames == 70
    message = r'clip\.mp4 is longer than 5 s, the longest film that is taken here\.$'
    with pytest.raises(MediaError, match=message):
        write_overlay_film(inferencer, film, tmp_path / 'b.mp4', FilmOptions(longest=5))
    # A file may say that it is shorter than it is, or nothing.
    describe = video_reader._describe
    monkeypatch.setattr(video_reader, '_describe', lambda *args: replace(describe(*args), seconds=None))
    with pytest.raises(MediaError, match=message):
        write_overlay_film(inferencer, film, tmp_path / 'b.mp4', FilmOptions(longest=5))
    assert [path.name for path in tmp_path.iterdir()] == ['out.mp4']


@pytest.mark.skipif(not os.path.isdir('/proc/self/fd'), reason='needs /proc to see the open files')
def test_files_are_closed(inferencer, film, tmp_path):
    before = len(os.listdir('/proc/self/fd'))
    write_overlay_film(inferencer, film, tmp_path / 'out.mp4')
    gc.collect()
    assert len(os.listdir('/proc/self/fd')) <= before
