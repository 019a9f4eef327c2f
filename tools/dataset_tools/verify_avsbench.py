"""Look over AVSBench on disk before you train on it.

Checks every frame, mask and sound of the subsets that are there: the number of clips against the published ones, the
values and colours of masks, the lengths of sounds, source videos that leak from train into val and test, duplicates.
Exits with 1 if there are errors.

Example:
    python tools/dataset_tools/verify_avsbench.py data/avsbench
    python tools/dataset_tools/verify_avsbench.py data/shapes --subset ms3 --no-expect-published
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from mmavs.datasets.avsbench_layouts import FOLDERS, find_folder
from mmavs.datasets.verification import LEVELS, Report, verify_subset
from mmavs.engine.launch import run_main


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line of the tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', help=f'folder that holds {", ".join(FOLDERS.values())}, or one of them')
    parser.add_argument('--subset', nargs='+', choices=list(FOLDERS), help='default: those that are there')
    parser.add_argument('--expect-published', action=argparse.BooleanOptionalAction, default=True,
                        help='other numbers of clips than the published ones are errors (default); turn it off for '
                        'generated data')
    parser.add_argument('--workers', type=int, default=min(8, os.cpu_count() or 1),
                        help='threads (default: %(default)s)')
    parser.add_argument('--examples', type=int, default=5, help='examples to print of each kind (default: 5)')
    parser.add_argument('--out', metavar='FILE.json', help='write all findings')
    return parser.parse_args(argv)


def find_subsets(root: str) -> list[str]:
    """The subsets under a root.

    Raises:
        FileNotFoundError: There is none.
    """
    found = []
    for subset in FOLDERS:
        try:
            find_folder(root, subset)
        except FileNotFoundError:
            continue
        found.append(subset)
    if not found:
        raise FileNotFoundError(f'{root} holds none of {", ".join(FOLDERS.values())} with its table; see '
                                'configs/_base_/datasets for where each subset is looked for.')
    return found


def verify(root: str, subset: str, expect_published: bool, workers: int) -> Report:
    """Look over one subset behind a progress bar."""
    with tqdm(desc=subset, unit='clip') as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return verify_subset(root, subset, expect_published, workers, progress)


def format_report(report: Report, examples: int) -> Iterator[str]:
    """Lines of the summary of one subset."""
    yield f'\n{report.subset}: {report.folder}'
    for split, facts in report.splits.items():
        yield (f'  {split:<5} {facts["clips"]} clips (published {facts["published"]}), {facts.get("frames", 0)} '
               f'frames, {facts.get("labelled", 0)} labelled, {facts.get("silent", 0)} of these silent')
        for name in ('sizes', 'mask_formats', 'rates', 'channels'):
            if facts.get(name):
                yield f'        {name.replace("_", " ")}: ' + _shortened(facts[name])
        if facts.get('seconds'):
            yield '        sounds: {:.2f} to {:.2f} s'.format(*facts['seconds'])
    for level in LEVELS:
        for kind, findings in report.by_kind(level).items():
            yield f'  {level.upper()} {kind}: {len(findings)}'
            yield from (f'    {finding.message}' for finding in findings[:examples])
            if len(findings) > examples:
                yield f'    and {len(findings) - examples} more'


def _shortened(tally: dict[str, int], limit: int = 4) -> str:
    shown = [f'{name} ({count})' for name, count in list(tally.items())[:limit]]
    return ', '.join(shown) + (f' and {len(tally) - limit} more' if len(tally) > limit else '')


def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit code: 1 if there are errors."""
    args = parse_args(argv)
    if args.workers < 1 or args.examples < 0:
        raise ValueError(f'--workers {args.workers} must be at least 1 and --examples {args.examples} at least 0.')
    subsets = args.subset or find_subsets(args.root)
    reports = [verify(args.root, subset, args.expect_published, args.workers) for subset in subsets]
    for report in reports:
        print('\n'.join(format_report(report, args.examples)))
    counts = {level: sum(report.count(level) for report in reports) for level in LEVELS}
    print(f'\n{counts["error"]} errors, {counts["warning"]} warnings, {counts["info"]} notes in {", ".join(subsets)}.')
    if args.out:
        Path(args.out).parent.mkdir(parents=True, exist_ok=True)
        Path(args.out).write_text(json.dumps([report.as_dict() for report in reports], indent=1), encoding='utf-8')
        print(f'All findings: {args.out}')
    return 1 if counts['error'] else 0


if __name__ == '__main__':
    sys.exit(run_main(main))
