"""The table at the end of a test run."""

from collections.abc import Mapping, Sequence
from typing import Any

# Score (without prefix) -> what a reader should know.
MEANINGS = {
    'J': 'Jaccard index (IoU), pooled as the preset says',
    'F': 'F-measure (beta^2 = 0.3) at the best threshold, pooled as the preset says',
    'J_sounding': 'J of sounding frames only',
    'silent_fp_area': 'share of a silent frame predicted as sounding (lower is better)',
    'silent_clean': 'silent frames without any predicted pixel',
    'mIoU': 'mean over all classes',
    'mIoU_no_bg': 'without background',
    'F_no_bg': 'without background',
    'mIoU_seen': 'over classes that occur',
    'mIoU_dataset': 'pixels of the whole set pooled (not comparable with the per-frame mean)',
}
# F means something else in the semantic task.
SEMANTIC_F = 'F-measure (beta^2 = 0.3), mean over all classes'


def format_report(report: Mapping[str, Any]) -> str:
    """Lay a report out as text.

    Args:
        report: From ``metric.report()``, or read back from JSON.

    Returns:
        Lines with the preset, its warning if its numbers must not be compared, one row per score with its 95 % interval
        over clips, the scores without clips whose source video is in train where there are such clips, and one row per
        category, with what the preset gives its clips by themselves.
    """
    settings = ', '.join(f'{name}={value}' for name, value in report['settings'].items() if value is not None)
    lines = [f'{report["metric"]}, preset {report["preset"]}: {report["description"]} ({settings}; '
             f'{len(report["clips"])} clips)']
    if report['warning']:
        lines.append(f'NOT COMPARABLE with other protocols: {report["warning"]}.')
    rows = []
    for name, value in report['metrics'].items():
        score = name.rpartition('/')[2]
        meaning = SEMANTIC_F if name == 'avss/F' else MEANINGS.get(score, '')
        rows.append([name, _number(value), _interval(report['intervals'].get(name)), meaning])
    lines += ['', *_table(['score', '%', '95 % interval', 'meaning'], rows)]
    lines += _leak_rows(report)
    if report['categories']:
        rows = [[row['category'], str(row['num_clips']), _number(row['J']), _number(row['F'])]
                for row in report['categories']]
        lines += ['', *_table(['category', 'clips', 'J', 'F'], rows)]
    return '\n'.join(lines)


def _leak_rows(report: Mapping[str, Any]) -> list[str]:
    """The scores on clips that a model cannot know from training, beside the published ones."""
    clean = report.get('leak_free')
    if not clean:
        return []
    rows = [[name, _number(report['metrics'][name]), _number(value), _interval(clean['intervals'].get(name))]
            for name, value in clean['metrics'].items()]
    return ['', f'{len(clean["leaked"])} of {len(report["clips"])} clips are cut from source videos that are in train, '
            f'too; without them {clean["num_clips"]} clips:',
            *_table(['score', 'published split', 'without them', '95 % interval'], rows)]


def _number(value: float | None) -> str:
    return '-' if value is None else f'{value:.2f}'


def _interval(ends: Sequence[float | None] | None) -> str:
    return '-' if not ends or None in ends else f'{ends[0]:.2f} to {ends[1]:.2f}'


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns padded to their widest entry, a rule under the header; numbers to the right, words to the left."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    numeric = [all(row[column].replace('.', '', 1).replace('-', '', 1).isdigit() or row[column] == '-' for row in rows)
               for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = [text.rjust(width) if right else text.ljust(width)
                 for text, width, right in zip(row, widths, numeric, strict=True)]
        return '  '.join(cells).rstrip()

    return [line(header), '  '.join('-' * width for width in widths), *map(line, rows)]
