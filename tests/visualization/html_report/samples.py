"""A small report: clips with known scores and pictures of known colours."""

from pathlib import Path

import numpy as np

from mmavs.visualization.html_report import ClipMedia, write_clip_media, write_page

T, SIZE = 3, 32
ODD_ID = '<b>&"\'</script><script>alert(1)</script>\u2028'


def write_clip(folder: Path, video_id: str, seconds: float = 0.0, category: str | None = None) -> ClipMedia:
    """Media of a clip of grey frames whose left half sounds and whose upper half is predicted."""
    truth = np.zeros((T, SIZE, SIZE), np.uint8)
    truth[:, :, :SIZE // 2] = 1
    sound = 0.2 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * 16000)) / 16000) if seconds else None
    return write_clip_media(folder, video_id, [np.full((SIZE, SIZE, 3), 100 + 50 * t, np.uint8) for t in range(T)],
                            truth=truth, prediction=truth.transpose(0, 2, 1), category=category, sound=sound,
                            log_mel=np.zeros((T, 1, 96, 64), np.float32))


def scored(video_id: str, j: float, f: float, category: str | None = None, silent: bool = False) -> dict:
    """A clip as ``AVSMetric.report()`` lists it; its last frame has no label."""
    return dict(video_id=video_id, category=category, J=j, F=f, num_frames=T - 1, silent=silent, frames=[
        dict(frame=0, J=j - 1, silent=silent, predicted_area=1.0), dict(frame=1, J=j + 1, silent=silent,
                                                                         predicted_area=1.0)])


def make_report(clips: list[dict], **changes: object) -> dict:
    """A report as ``AVSMetric.report()`` gives it."""
    names = sorted({clip['category'] for clip in clips if clip['category']})
    return dict(dict(
        metric='AVSMetric', preset='dataset', description='pixels pooled', warning='do not compare <this>',
        settings=dict(eval_size=None, gt_interp='nearest', group_size=1),
        metrics={'avs/J': 61.234, 'avs/F': 70.5, 'avs/silent_clean': None},
        intervals={'avs/J': [58.111, 64.999], 'avs/F': [69.0, 72.0], 'avs/silent_clean': [None, None]},
        categories=[dict(category=name, num_clips=sum(clip['category'] == name for clip in clips), J=50.0, F=60.25)
                    for name in names], clips=clips), **changes)


def write_many(folder: Path, number: int, seconds: float = T) -> list[dict]:
    """A report of many clips: J runs from 0 to 99 over and over, categories are cat and dog in turn."""
    clips, media = [], []
    for index in range(number):
        category = ('cat', 'dog')[index % 2]
        clips.append(scored(f'clip_{index:03d}', float(index * 37 % 100), float(index * 59 % 100), category,
                            silent=index == 5))
        media.append(write_clip(folder, f'clip_{index:03d}', seconds=seconds, category=category))
    write_page(folder, [make_report(clips)], media, title='many')
    return clips


def ids(browser):
    """Names of the clips that are shown."""
    return browser.texts('.card h3')


def best(clips, key, reverse=False, number=24):
    """Names of the first ``number`` clips by a key."""
    return [clip['video_id'] for clip in sorted(clips, key=lambda clip: clip[key], reverse=reverse)][:number]


def choose(browser, selector, option):
    """Choose an option of a select element by a click."""
    browser.click(f'{selector} option[value="{option}"]')
