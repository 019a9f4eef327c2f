"""The parts of a report page that are plain HTML: scores, categories and facts about the run."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

# Score, with prefix where it means something else there -> its meaning on the page.
MEANINGS = {
    'J': 'Jaccard index (IoU), pooled as the preset says',
    'F': 'F-measure (β² = 0.3) at the best threshold, pooled as the preset says',
    'avss/F': 'F-measure (β² = 0.3), mean of all classes',
    'J_sounding': 'J of sounding frames only',
    'silent_fp_area': 'share of a silent frame predicted as sounding; lower is better',
    'silent_clean': 'silent frames without any predicted pixel',
    'mIoU': 'IoU, mean of all classes',
    'mIoU_no_bg': 'IoU without the background',
    'F_no_bg': 'F-measure without the background',
    'mIoU_seen': 'IoU of the classes that occur',
    'mIoU_dataset': 'IoU with the pixels of the whole set pooled',
}


def summary_section(report: Mapping[str, Any]) -> str:
    """HTML of the scores of one metric.

    Args:
        report: From ``metric.report()``: percent, None where a score is undefined.

    Returns:
        The protocol with its warning, if it has one, and a table with a row for each score: value, 95 % interval over
        clips as text and as a bar from 0 to 100.
    """
    settings = ', '.join(f'{name} = {value}' for name, value in report['settings'].items() if value is not None)
    warning = (f'<p class="warning" role="note"><strong>Not comparable with other protocols:</strong> '
               f'{escape(report["warning"])}.</p>' if report['warning'] else '')
    rows = ''.join(_score_row(name, value, report['intervals'].get(name)) for name, value in report['metrics'].items())
    return (f'<p class="protocol"><span class="chip">preset {escape(report["preset"])}</span> '
            f'{escape(report["description"])}'
            f'{f" <span class=faint>({escape(settings)})</span>" if settings else ""}</p>{warning}'
            '<table class="scores"><thead><tr><th scope="col">Score</th><th scope="col" class="number">%</th>'
            '<th scope="col">95 % interval over clips</th><th scope="col">Meaning</th></tr></thead>'
            f'<tbody>{rows}</tbody></table>')


def category_section(report: Mapping[str, Any], title: str) -> str:
    """HTML of the table per category, or an empty text when the report has none."""
    if not report['categories']:
        return ''
    rows = ''.join(
        f'<tr><td><button type="button" class="link" data-category="{escape(row["category"])}">'
        f'{escape(row["category"])}</button></td><td class="number">{row["num_clips"]}</td>'
        f'<td class="number">{number(row["J"])}</td><td class="number">{number(row["F"])}</td>'
        f'<td>{_bar(row["J"], None)}</td></tr>' for row in report['categories'])
    return (f'<section class="panel categories"><h2>{title}</h2><div class="scroll" tabindex="0" role="region" '
            f'aria-label="{title}"><table><thead><tr><th scope="col">Name</th><th scope="col" class="number">Clips</th>'
            '<th scope="col" class="number">J</th><th scope="col" class="number">F</th><th scope="col"></th></tr>'
            f'</thead><tbody>{rows}</tbody></table></div></section>')


def facts_list(facts: Mapping[str, Any]) -> str:
    """HTML of a definition list."""
    return ''.join(f'<div><dt>{escape(str(name))}</dt><dd>{escape(str(value))}</dd></div>'
                   for name, value in facts.items())


def number(value: float | None) -> str:
    """HTML of a score: two decimals, or a dash where it is undefined."""
    return '&ndash;' if value is None else f'{value:.2f}'


def _score_row(name: str, value: float | None, interval: Sequence[float | None] | None) -> str:
    score = name.rpartition('/')[2]
    known = interval is not None and None not in interval
    text = f'{number(interval[0])} to {number(interval[1])}' if known else '&ndash;'
    return (f'<tr><th scope="row">{escape(score)}</th><td class="number value">{number(value)}</td>'
            f'<td><div class="interval"><span>{text}</span>{_bar(value, interval if known else None)}</div></td>'
            f'<td class="faint">{MEANINGS.get(name, MEANINGS.get(score, ""))}</td></tr>')


def _bar(value: float | None, interval: Sequence[float] | None) -> str:
    """A track from 0 to 100 with the value as fill and the interval as a line over it."""
    if value is None:
        return '<span class="bar" aria-hidden="true"></span>'
    line = '' if interval is None else (
        f'<b style="left:{interval[0]:.2f}%;width:{max(0.0, interval[1] - interval[0]):.2f}%"></b>')
    return f'<span class="bar" aria-hidden="true"><i style="width:{value:.2f}%"></i>{line}</span>'
