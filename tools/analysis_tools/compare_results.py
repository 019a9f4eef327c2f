"""Compare two result files of ``tools/test.py --out`` clip by clip.

``python tools/analysis_tools/compare_results.py a.json b.json`` prints, over the clips that both have, the mean of
B minus A with its 95 % bootstrap interval, and the clips that changed most.
"""

import argparse
import json
import sys
from pathlib import Path

from mmavs.evaluation.bootstrap import paired_difference

SCORES = ('J', 'F')


def read_results(path: str) -> dict:
    """Read a result file.

    Returns:
        ``preset``, ``settings`` and ``clips`` (video_id -> values).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no result file, or names a clip twice.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'No result file {path}; write one with tools/test.py ... --out {path}.')
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
        clips = {clip['video_id']: {score: float(clip[score]) for score in SCORES} for clip in content['clips']}
        preset = content['preset']
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path} is no result file of tools/test.py --out: it needs "preset" and "clips" with '
                         'video_id, J and F.') from error
    if len(clips) != len(content['clips']):
        raise ValueError(f'{path} names a clip twice, so its clips cannot be paired with those of another file.')
    return dict(preset=preset, settings=content.get('settings'), clips=clips)


def compare(path_a: str, path_b: str, num_worst: int = 5, seed: int = 0) -> str:
    """Compare two result files.

    Args:
        path_a: The one to compare with.
        path_b: The other one.
        num_worst: How many of the most changed clips to list.
        seed: Seed of the bootstrap.

    Returns:
        The text to print.

    Raises:
        ValueError: If the files have different presets or settings, or no clip in common.
    """
    a, b = read_results(path_a), read_results(path_b)
    for key in ('preset', 'settings'):
        if a[key] != b[key]:
            raise ValueError(f'{path_a} has {key} {a[key]}, but {path_b} has {b[key]}: their numbers are not '
                             'comparable. Test both with the same evaluator.')
    common = [name for name in a['clips'] if name in b['clips']]
    if not common:
        raise ValueError(f'{path_a} and {path_b} have no clip in common.')
    lines = [f'A {path_a}', f'B {path_b}', f'preset {a["preset"]}; {len(common)} common clips, '
             f'{len(a["clips"]) - len(common)} only in A, {len(b["clips"]) - len(common)} only in B', '']
    for score in SCORES:
        before, after = ([result['clips'][name][score] for name in common] for result in (a, b))
        mean, low, high, _ = paired_difference(before, after, seed=seed)
        verdict = 'no clear difference' if low <= 0 <= high else f'B is {"better" if mean > 0 else "worse"}'
        lines.append(f'{score}: A {sum(before) / len(common):.2f}, B {sum(after) / len(common):.2f}, B - A {mean:+.2f} '
                     f'(95 % interval {low:+.2f} to {high:+.2f}): {verdict}')
    change = {name: b['clips'][name]['J'] - a['clips'][name]['J'] for name in common}
    changed = sorted((name for name in common if change[name]), key=lambda name: -abs(change[name]))[:num_worst]
    if changed:
        lines += ['', 'most changed in J:', *(f'  {change[name]:+7.2f}  {name}' for name in changed)]
    return '\n'.join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('a', help='result file to compare with')
    parser.add_argument('b', help='the other result file')
    parser.add_argument('--worst', type=int, default=5, help='how many of the most changed clips to list (default 5)')
    parser.add_argument('--seed', type=int, default=0, help='seed of the bootstrap (default 0)')
    args = parser.parse_args(argv)
    try:
        print(compare(args.a, args.b, num_worst=args.worst, seed=args.seed))
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    return 0


if __name__ == '__main__':
    sys.exit(main())
