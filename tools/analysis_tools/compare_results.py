"""Compare two result files of ``tools/test.py --out``.

``python tools/analysis_tools/compare_results.py a.json b.json`` prints, over the clips that both have, every score of A
and of B as the preset pools it, B minus A with its 95 % bootstrap interval (both get the same resampled clips), and the
clips that changed most. Files with several metrics are compared metric by metric.
"""

import argparse
import math
import sys

from mmavs.evaluation.bootstrap import Statistic, evaluate_statistic, paired_difference
from mmavs.evaluation.result_file import Result, read_results

LOWER_IS_BETTER = ('silent_fp_area',)


def compare(path_a: str, path_b: str, num_worst: int = 5, seed: int = 0) -> str:
    """Compare two result files.

    Args:
        path_a: The one to compare with.
        path_b: The other one.
        num_worst: How many of the most changed clips to list. Default 5.
        seed: Seed of the bootstrap. Default 0.

    Returns:
        The text to print.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a file is no result file, or the files have no metric of the same preset and settings, or no clip
            in common, or the same clips in another order where the preset pools neighbours.
    """
    a, b = ({result.protocol: result for result in read_results(path)} for path in (path_a, path_b))
    common = [protocol for protocol in a if protocol in b]
    if not common:
        raise ValueError(f'{path_a} has {"; ".join(a)}, but {path_b} has {"; ".join(b)}: their numbers are not '
                         'comparable. Test both with the same evaluator.')
    lines = [f'A {path_a}', f'B {path_b}']
    for protocol in common:
        lines += ['', *compare_metric(a[protocol], b[protocol], num_worst=num_worst, seed=seed)]
    lines += [f'\nonly in {name}: {protocol}' for name, own, other in (('A', a, b), ('B', b, a))
              for protocol in own if protocol not in other]
    return '\n'.join(lines)


def compare_metric(a: Result, b: Result, num_worst: int, seed: int) -> list[str]:
    """The lines on one metric; see :func:`compare`."""
    names = [name for name in a.clip_j if name in b.clip_j]
    if not names:
        raise ValueError(f'A and B have no clip in common ({a.protocol}); were they tested on different splits?')
    if a.group_size > 1 and names != [name for name in b.clip_j if name in a.clip_j]:
        raise ValueError(f'A and B list their clips in different orders, but {a.protocol} pools every {a.group_size} '
                         'neighbours; test both on the same dataset.')
    lines = [a.protocol, f'{len(names)} common clips, {len(a.clip_j) - len(names)} only in A, '
             f'{len(b.clip_j) - len(names)} only in B', '']
    after = b.statistics(names)
    lines += [describe_score(score, before, after[score], len(names), seed)
              for score, before in a.statistics(names).items()]
    change = {name: b.clip_j[name] - a.clip_j[name] for name in names}
    changed = sorted((name for name in names if change[name]), key=lambda name: -abs(change[name]))[:num_worst]
    if changed:
        lines += ['', 'most changed in J:', *(f'  {change[name]:+7.2f}  {name}' for name in changed)]
    return lines


def describe_score(score: str, before: Statistic, after: Statistic, num_clips: int, seed: int) -> str:
    """The line on one score."""
    values = [evaluate_statistic(statistic, num_clips) for statistic in (before, after)]
    difference, low, high, _ = paired_difference(before, after, num_clips, seed=seed)
    if math.isnan(difference):
        return f'{score}: undefined'
    better = (difference > 0) != (score in LOWER_IS_BETTER)
    verdict = 'no clear difference' if low <= 0 <= high else f'B is {"better" if better else "worse"}'
    return (f'{score}: A {values[0]:.2f}, B {values[1]:.2f}, B - A {difference:+.2f} '
            f'(95 % interval {low:+.2f} to {high:+.2f}): {verdict}')


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
