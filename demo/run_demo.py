"""The main job from nothing: generate data, train a small AVS-Mamba, test it, draw its predictions.

``make demo`` runs this. The last line it prints starts with ``RESULT`` and holds, in percent, the Jaccard index J and
the F-score on the test clips, the J of marking every shape, which needs no ears (vision only), and the J of the same
weights when the clips' sounds are exchanged between clips. Before it stands whether the model hears: J must be at least
10 points above vision only, and below it with exchanged sounds. If not, the exit code is 1.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

CONFIG = 'configs/avs_mamba/tiny_shapes.py'
CLIPS = {'train': 320, 'val': 24, 'test': 64}
LEAD = 10.0  # points of J that a model which hears must have over one that cannot
ROOT = Path(__file__).resolve().parent.parent


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line of the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', default='work_dirs/demo', help='folder for data, weights and pictures')
    parser.add_argument('--clips', type=int, nargs=3, metavar=('TRAIN', 'VAL', 'TEST'), default=list(CLIPS.values()),
                        help='clips to generate (default: %(default)s)')
    parser.add_argument('--epochs', type=int, help="training epochs (default: the config's)")
    parser.add_argument('--seed', type=int, default=0, help='seed of the data and of the training')
    return parser.parse_args(argv)


def run_step(title: str, command: list[str], data_root: Path) -> None:
    """Run one tool from the repository root, its output going straight to the terminal.

    Raises:
        SystemExit: If the tool fails, with its exit code.
    """
    print(f'\n=== {title}\n$ {" ".join(command)}', flush=True)
    start = time.monotonic()
    environment = {**os.environ, 'MMAVS_DATA_ROOT': str(data_root), 'PYTHONUNBUFFERED': '1'}
    code = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, check=False).returncode
    if code:
        print(f'"{title}" failed with exit code {code}.', file=sys.stderr)
        raise SystemExit(code)
    print(f'=== {title}: {time.monotonic() - start:.0f} s', flush=True)


def main(argv: list[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    args = parse_args(argv)
    out = Path(args.out).resolve()
    data, train = out / 'data', out / 'train'
    clips = [f'{split}={count}' for split, count in zip(CLIPS, args.clips, strict=True)]
    run_step('Generate SoundingShapes in the layout of AVSBench MS3',
             ['tools/dataset_tools/make_sounding_shapes.py', str(data), '--subset', 'ms3', '--clips', *clips,
              '--seed', str(args.seed)], data)

    backbone = out / 'backbone.pth'
    run_step('Teach the visual backbone the shapes, without sound (the paper starts from ImageNet)',
             ['demo/pretrain_backbone.py', CONFIG, str(backbone), '--seed', str(args.seed)], data)

    options = ['--cfg-options', f'randomness.seed={args.seed}', 'model.backbone.init_cfg.type=Pretrained',
               f'model.backbone.init_cfg.checkpoint={backbone}']
    if args.epochs is not None:
        options.append(f'train_cfg.max_epochs={args.epochs}')
    run_step('Train', ['tools/train.py', CONFIG, '--work-dir', str(train), *options], data)

    weights = newest_best(train)
    test = ['tools/test.py', CONFIG, str(weights), '--work-dir', str(out / 'test')]
    run_step('Test', [*test, '--out', str(out / 'results.json'), '--show-dir', str(out / 'pictures')], data)
    run_step('Test with the sounds exchanged between clips',
             [*test, '--out', str(out / 'results_exchanged.json'),
              '--cfg-options', 'test_dataloader.dataset.sound_of=other_clip'], data)

    sheet = sorted((out / 'pictures').glob('*.png'))
    print(f'\n{len(sheet)} contact sheets in {out / "pictures"}, for example {sheet[0].name}')
    metrics, exchanged = read_scores(out / 'results.json'), read_scores(out / 'results_exchanged.json')
    return report_result(metrics['avs/J'], metrics['avs/F'], vision_only_j(data), exchanged['avs/J'])


def report_result(j: float, f: float, vision_only: float, exchanged: float) -> int:
    """Print whether the model hears, then the ``RESULT`` line.

    Args:
        j: J on the test clips; all values are in percent.
        f: F-score on the test clips.
        vision_only: J of marking every shape.
        exchanged: J with the sounds exchanged between clips.

    Returns:
        The exit code: 0, or 1 where a bar is missed.
    """
    bars = {f'J at least {LEAD:g} points above vision only ({j:.2f} against {vision_only:.2f})':
                j - vision_only >= LEAD,
            f'J with exchanged sounds below vision only ({exchanged:.2f} against {vision_only:.2f})':
                exchanged < vision_only}
    for bar, passed in bars.items():
        print(f'{"pass" if passed else "FAIL"}: {bar}')
    hears = all(bars.values())
    if not hears:
        print('The model does not hear well enough: train with all of --clips and --epochs, which the defaults are.')
    print(f'RESULT J={j:.2f} F={f:.2f} vision_only_J={vision_only:.2f} exchanged_sound_J={exchanged:.2f}')
    return 0 if hears else 1


def read_scores(path: Path) -> dict[str, float]:
    """The scores that tools/test.py wrote, in percent."""
    return json.loads(path.read_text())['metrics']


def newest_best(folder: Path) -> Path:
    """The checkpoint with the best validation score.

    Raises:
        FileNotFoundError: If training left none.
    """
    found = sorted(folder.glob('best*.pth'), key=lambda path: path.stat().st_mtime)
    if not found:
        raise FileNotFoundError(f'No best*.pth in {folder}: training wrote no validated checkpoint.')
    return found[-1]


def vision_only_j(data_root: Path) -> float:
    """J in percent of marking every shape of the test clips, as the generator measured it."""
    summary = json.loads((data_root / 'Multi-sources' / 'sounding_shapes.json').read_text())
    return summary['vision_only_J']['test']


if __name__ == '__main__':
    sys.exit(main())
