"""Writes ``index.html`` of a report: one file with style, script and data; pictures and sounds lie beside it."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from mmavs.visualization.colours import FALSE_ALARM_COLOUR, HIT_COLOUR, MISSED_COLOUR
from mmavs.visualization.files import write_bytes
from mmavs.visualization.html_report.clip_media import MEDIA_FOLDER, ClipMedia, css_colour
from mmavs.visualization.html_report.tables import category_section, facts_list, summary_section

_PARTS = Path(__file__).parent / 'parts'
_SCRIPTS = ('selection.js', 'player.js', 'histogram.js', 'cards.js', 'viewer.js', 'main.js')
# An example of VGGish's front end covers 96 steps of 10 ms.
_EXAMPLE_SECONDS = 0.96


def write_page(report_dir: str | Path, reports: Sequence[Mapping[str, Any]], media: Sequence[ClipMedia], *,
               title: str, facts: Mapping[str, Any] | None = None) -> Path:
    """Write ``<report_dir>/index.html``.

    The page needs no server and asks no other machine for anything; a content security policy in it makes the browser
    enforce that.

    Args:
        report_dir: Folder in which :func:`write_clip_media` wrote the clips' files.
        reports: From ``metric.report()``, one for each metric. The first gives the values of the clips.
        media: Facts about the clips' files, in any order. A clip that only the reports know is shown without pictures,
            one that only ``media`` knows (no frame has a label) without scores.
        title: Heading of the page.
        facts: Name -> value, shown under the heading.

    Returns:
        Path of the page.
    """
    clips = merge_clips(reports[0]['clips'] if reports else [], media)
    data = dict(exampleSeconds=_EXAMPLE_SECONDS, mediaFolder=MEDIA_FOLDER, clips=clips)
    semantic = any('avss' in name for report in reports for name in report['metrics'])
    template = Template((_PARTS / 'page.html').read_text(encoding='utf-8'))
    page = template.substitute(
        title=escape(title),
        facts=facts_list(facts or {}),
        summary=''.join(map(summary_section, reports)) or '<p class="protocol">No metric was evaluated.</p>',
        categories=''.join(category_section(report, 'Per class' if semantic else 'Per category')
                           for report in reports),
        hit=css_colour(HIT_COLOUR),
        missed=css_colour(MISSED_COLOUR),
        false_alarm=css_colour(FALSE_ALARM_COLOUR),
        style=(_PARTS / 'style.css').read_text(encoding='utf-8'),
        script='\n'.join((_PARTS / name).read_text(encoding='utf-8') for name in _SCRIPTS),
        data=json_for_script(data))
    path = Path(report_dir) / 'index.html'
    write_bytes(path, page.encode())
    return path


def merge_clips(scored: Sequence[Mapping[str, Any]], media: Sequence[ClipMedia]) -> list[dict[str, Any]]:
    """Join values and files by ``video_id``: scored clips in their order, then those that only have files.

    Args:
        scored: ``clips`` of a report.
        media: Facts about the clips' files.

    Returns:
        A dict for each clip with short values (two decimals), see ``selection.js`` for its keys.
    """
    files = {item.video_id: item for item in media}
    known = {clip['video_id'] for clip in scored}
    clips = [_clip(clip, files.get(clip['video_id'])) for clip in scored]
    rest = [item for item in files.values() if item.video_id not in known]
    clips += [_clip(dict(video_id=item.video_id, category=item.category), item)
              for item in sorted(rest, key=lambda item: item.video_id)]
    return clips


def json_for_script(data: Any) -> str:
    """JSON that no text in it can break out of a ``<script>`` element with.

    Raises:
        ValueError: If ``data`` holds NaN or infinity, which JSON does not have.
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(',', ':'))
    return text.translate({ord(char): f'\\u{ord(char):04x}' for char in '<>&\u2028\u2029'})


def _clip(values: Mapping[str, Any], media: ClipMedia | None) -> dict[str, Any]:
    frames = [dict(index=frame['frame'], J=_short(frame.get('J')), silent=bool(frame.get('silent', False)))
              for frame in values.get('frames', ())]
    clip = dict(id=values['video_id'], category=values.get('category'), J=_short(values.get('J')),
                F=_short(values.get('F')), silent=bool(values.get('silent', False)), frames=frames, media=None)
    if media is not None:
        clip['media'] = dict(folder=media.folder, count=media.num_frames, width=media.width, height=media.height,
                             layers=media.layers, logMel=media.has_log_mel, sound=media.has_sound,
                             classes=dict(media.classes))
    return clip


def _short(value: float | None) -> float | None:
    return None if value is None else round(float(value), 2)
