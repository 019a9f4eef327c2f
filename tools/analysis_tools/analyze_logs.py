"""Plot curves from the scalars that mmengine logs.

Example:
    python tools/analysis_tools/analyze_logs.py work_dirs/pvt_ms3 --keys loss avs/J --out curves.png
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np


def build_parser() -> argparse.ArgumentParser:
    """Command line of the tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('logs', nargs='+',
                        help='scalars .json files, or work folders (the newest run of each is taken)')
    parser.add_argument('--keys', nargs='+', help='what to plot, a panel each (default: loss and the scores found)')
    parser.add_argument('--legend', nargs='+', help='a name per log (default: folder names)')
    parser.add_argument('--smooth', type=int, default=1, metavar='N',
                        help='moving mean over N points of the training curves (default: 1, none)')
    parser.add_argument('--out', default='curves.png', help='picture to write, .png, .pdf or .svg')
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit code."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.legend and len(args.legend) != len(args.logs):
        parser.error(f'--legend has {len(args.legend)} names for {len(args.logs)} logs.')
    if args.smooth < 1:
        parser.error(f'--smooth {args.smooth} must be at least 1.')
    try:
        curves = [read_curves(find_log(Path(log))) for log in args.logs]
        keys = args.keys or default_keys(curves)
        for key in keys:
            if not any(key in found for found in curves):
                known = sorted(set().union(*curves))
                raise ValueError(f'no log has {key!r}; there are: {", ".join(known) or "no numbers at all"}.')
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    names = args.legend or [Path(log).stem if Path(log).is_file() else Path(log).resolve().name for log in args.logs]
    plot(curves, names, keys, args.smooth, Path(args.out))
    for name, found in zip(names, curves, strict=True):
        for key in keys:
            if key in found:
                _, values = found[key]
                print(f'{name}  {key}: last {values[-1]:.4g}, lowest {values.min():.4g}, highest {values.max():.4g}, '
                      f'{len(values)} points')
    print(f'Wrote {args.out}.')
    return 0


def find_log(path: Path) -> Path:
    """The newest scalars file of a work folder, or the file itself.

    Raises:
        FileNotFoundError: If there is none.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise FileNotFoundError(f'{path} is neither a log file nor a folder.')
    logs = sorted(path.rglob('scalars.json'), key=lambda log: log.stat().st_mtime)
    if not logs:
        raise FileNotFoundError(f'{path} holds no scalars.json; mmengine writes one under <time>/vis_data/ when '
                                "vis_backends has dict(type='LocalVisBackend').")
    return logs[-1]


def read_curves(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read a scalars file: one JSON object a line.

    The x axis of training values is the iteration, that of evaluation results the epoch (both are mmengine's
    ``step``). A last line cut short by a killed run is left out.

    Args:
        path: The file.

    Returns:
        Name -> (steps, values), both of shape (points,).

    Raises:
        ValueError: If a line other than the last is no JSON object.
    """
    curves: dict[str, tuple[list, list]] = {}
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError
        except ValueError:
            if number == len(lines):
                break
            raise ValueError(f'{path}, line {number} is no JSON object; give the scalars.json of a run.') from None
        step = record.get('step', record.get('iter', number))
        for key, value in record.items():
            if key not in ('step', 'iter', 'epoch') and isinstance(value, (int, float)):
                steps, values = curves.setdefault(key, ([], []))
                steps.append(step)
                values.append(value)
    return {key: (np.array(steps), np.array(values, float)) for key, (steps, values) in curves.items()}


def default_keys(curves: list[dict]) -> list[str]:
    """The loss, then every score (mmengine names them ``prefix/name``)."""
    found = list(dict.fromkeys(key for curve in curves for key in curve))
    return [key for key in found if key == 'loss'] + [key for key in found if '/' in key] or found


def moving_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Mean of each value and the ``width - 1`` before it (fewer at the start). Shape (points,)."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - width, 0)
    return (sums[end] - sums[start]) / (end - start)


def plot(curves: list[dict], names: list[str], keys: list[str], smooth: int, path: Path) -> None:
    """A panel per key, a line per log."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator
    columns = min(len(keys), 3)
    rows = -(-len(keys) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.2 * rows), layout='constrained')
    FigureCanvasAgg(figure)
    for index, key in enumerate(keys):
        axes = figure.add_subplot(rows, columns, index + 1)
        for line, (name, found) in enumerate(zip(names, curves, strict=True)):
            if key not in found:
                continue
            steps, values = found[key]
            if smooth > 1 and '/' not in key:
                axes.plot(steps, values, color=f'C{line}', alpha=0.25, linewidth=0.8)
                values = moving_mean(values, smooth)
            axes.plot(steps, values, color=f'C{line}', label=name, marker='.' if len(steps) < 40 else None)
        axes.set(title=key, xlabel='epoch' if '/' in key else 'iteration')
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.grid(alpha=0.3)
        axes.spines[['top', 'right']].set_visible(False)
    figure.axes[0].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


if __name__ == '__main__':
    sys.exit(main())
