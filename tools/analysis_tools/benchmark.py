"""Cost of one or more configs over input sizes and clip lengths, as in the paper's Fig. 10.

Prints a table of GFLOPs, parameters, peak memory, seconds of a batch, clips/s and frames/s; writes it as JSON and as a
plot.

Example:
    python tools/analysis_tools/benchmark.py configs/avs_mamba/*_ms3.py --shapes 224 512 --out work_dirs/benchmark
"""

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import DictAction

from mmavs.utils.large_pages import use_large_pages
from mmavs.utils.profiling import Case, measure


class Column(NamedTuple):
    """A column of the table: key of the result, header, format and width in characters."""

    key: str
    header: str
    form: str
    width: int


COLUMNS = (Column('config', 'config', '{}', 22), Column('size', 'size', '{}', 10), Column('frames', 'T', '{}', 4),
           Column('gflops', 'GFLOPs', '{:.1f}', 10), Column('parameters', 'parameters', '{:,}', 13),
           Column('peak_memory_mib', 'peak MiB', '{:.0f}', 10), Column('seconds', 'seconds', '{:.2f}', 10),
           Column('clips_per_s', 'clips/s', '{:.3f}', 9), Column('frames_per_s', 'frames/s', '{:.2f}', 10))


def build_parser() -> argparse.ArgumentParser:
    """Command line of the tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='+', help='config files; each is a line of the plot')
    parser.add_argument('--shapes', type=int, nargs='+', default=[224, 384, 512], metavar='PIXELS',
                        help='square input sizes (default: 224 384 512)')
    parser.add_argument('--frames', type=int, nargs='+', default=[5], help='clip lengths (default: 5)')
    parser.add_argument('--clips', type=int, default=1, help='clips of a batch (default: 1)')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu',
                        help='cpu or cuda (default: cuda if there is one)')
    parser.add_argument('--repeats', type=int, default=3, help='timed runs; the fastest counts (default: 3)')
    parser.add_argument('--mode', choices=['infer', 'train'], default='infer',
                        help='train: forward and backward (default: infer)')
    parser.add_argument('--parts', type=int, default=0, metavar='N',
                        help='name the N parts of the model that take most of the time; with --mode train the N '
                        'operators (default: 0)')
    parser.add_argument('--out', metavar='DIR', help='folder for benchmark.json and benchmark.png')
    parser.add_argument('--same-process', action='store_true',
                        help='do not start a fresh process per case: quicker, but on a CPU memory cannot be told then')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
                        help='override entries of every config')
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit code: 1 if a case failed."""
    use_large_pages()
    parser = build_parser()
    args = parser.parse_args(argv)
    for config in args.configs:
        if not Path(config).is_file():
            parser.error(f'No config file {config}.')
    for name in ('shapes', 'frames', 'clips', 'repeats'):
        values = getattr(args, name)
        if min(values if isinstance(values, list) else [values]) < 1:
            parser.error(f'--{name} must be at least 1.')
    if args.device.startswith('cuda') and not torch.cuda.is_available():
        parser.error(f'--device {args.device}: this PyTorch sees no GPU; use --device cpu.')
    cases = [Case(config, shape, shape, frames, args.clips, args.device, args.repeats, args.mode,
                  tuple((args.cfg_options or {}).items()), max(args.parts, 0))
             for config in args.configs for frames in args.frames for shape in args.shapes]
    # On a CPU, memory that an earlier case has freed stays with the process and hides what the next one takes.
    with_memory = not args.same_process or args.device.startswith('cuda')
    columns = [column for column in COLUMNS if with_memory or column.key != 'peak_memory_mib']
    print(format_line(columns, [column.header for column in columns]))
    results, failures = [], 0
    for case in cases:
        try:
            result = measure(case) if args.same_process else measure_in_fresh_process(case)
        except Exception as error:  # one case that does not fit in memory must not end the sweep
            failures += 1
            print(f'{Path(case.config).stem} at {case.height} x {case.width}, {case.frames} frames failed: '
                  f'{type(error).__name__}: {str(error).splitlines()[0] if str(error) else "no message"}',
                  file=sys.stderr)
            continue
        results.append(result if with_memory else dict(result, peak_memory_mib=None))
        print(format_line(columns, format_result(columns, result)), flush=True)
        for name, seconds, share in result['parts']:
            print(f'    {seconds:9.3f} s {share:6.1%}  {name}', flush=True)
    report(results, args.out)
    return 1 if failures else 0


def report(results: list[dict], out: str | None) -> None:
    """Say what the GFLOPs leave out, and write the results to the folder ``out``, if there is one."""
    missing = sorted({name for result in results for name in result['uncounted_kernels']})
    if missing:
        print(f'GFLOPs leave out {", ".join(missing)}: no formula is registered.')
    if out and results:
        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / 'benchmark.json').write_text(json.dumps(results, indent=2))
        plot(results, folder / 'benchmark.png')
        print(f'Wrote {folder / "benchmark.json"} and benchmark.png.')


def measure_in_fresh_process(case: Case) -> dict:
    """:func:`mmavs.utils.profiling.measure` where no earlier case has left memory behind."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context('spawn')) as pool:
        return pool.submit(measure, case).result()


def format_result(columns: Sequence[Column], result: dict) -> list[str]:
    """The cells of one line of the table; '-' where a number is not known."""
    cells = dict(result, config=Path(result['config']).stem, size=f'{result["height"]}x{result["width"]}')
    return ['-' if cells[column.key] is None else column.form.format(cells[column.key]) for column in columns]


def format_line(columns: Sequence[Column], cells: Sequence[str]) -> str:
    """One line of the table: the first cell begins its column, the others end theirs."""
    return ''.join(cell.ljust(column.width) if index == 0 else cell.rjust(column.width)
                   for index, (column, cell) in enumerate(zip(columns, cells, strict=True)))


def plot(results: list[dict], path: Path) -> None:
    """GFLOPs, memory (where it is known) and speed over the input size, a line per config and clip length."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    panels = [(key, label) for key, label in (('gflops', 'GFLOPs per clip'), ('peak_memory_mib', 'peak memory (MiB)'),
                                              ('frames_per_s', 'frames per s'))
              if any(result[key] is not None for result in results)]
    figure = Figure(figsize=(4 * len(panels), 3.8), layout='constrained')
    FigureCanvasAgg(figure)
    for index, (key, label) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), index + 1)
        _draw_lines(axes, results, key)
        axes.set(xlabel='input size (pixels)', title=label, xticks=sorted({r['height'] for r in results}))
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.spines[['top', 'right']].set_visible(False)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside upper center', ncols=min(len(handles), 4), handlelength=4,
                  frameon=False, fontsize=9)
    figure.savefig(path, dpi=150)


def _draw_lines(axes: 'matplotlib.axes.Axes', results: list[dict], key: str) -> None:  # noqa: F821
    """A colour per config, a dash pattern per clip length."""
    configs, lengths = (list(dict.fromkeys(result[name] for result in results)) for name in ('config', 'frames'))
    for config, frames in dict.fromkeys((r['config'], r['frames']) for r in results):
        line = sorted((r['height'], r[key]) for r in results
                      if (r['config'], r['frames']) == (config, frames) and r[key] is not None)
        axes.plot(*zip(*line, strict=True) if line else ((), ()), marker='o', color=f'C{configs.index(config)}',
                  linestyle=('-', '--', ':', '-.')[lengths.index(frames) % 4],
                  label=f'{Path(config).stem}, T = {frames}')


if __name__ == '__main__':
    sys.exit(main())
