"""Parameters and FLOPs of a config's model, module by module.

The head's mask MLP is counted layer by layer, as the paper writes it; the model evaluates it by linear pieces, which
is cheaper by an amount that depends on the weights (``--as-run`` counts that, too).

Example:
    python tools/analysis_tools/get_flops.py configs/avs_mamba/pvt_ms3.py --shape 512 --frames 5
"""

import argparse
import json
import sys
from pathlib import Path

from mmengine.config import DictAction

from mmavs.engine.launch import load_config
from mmavs.utils.building import build_model, published_form, random_clips
from mmavs.utils.complexity import count, explain_uncounted, table


def build_parser() -> argparse.ArgumentParser:
    """Command line of the tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, e.g. configs/avs_mamba/pvt_ms3.py')
    parser.add_argument('--shape', type=int, nargs='+', default=None, metavar='PIXELS',
                        help='input size: one number, or height and width (default: the config\'s input_size, or 512)')
    parser.add_argument('--frames', type=int, default=5, help='frames of the clip (default: 5)')
    parser.add_argument('--depth', type=int, default=2, help='levels of modules in the table (default: 2)')
    parser.add_argument('--as-run', action='store_true', help='also count the mask MLP as it is evaluated')
    parser.add_argument('--out', metavar='FILE.json', help='write all numbers, every module, to this file')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
                        help='override config entries, e.g. model.neck.num_orders=4')
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit code."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.shape and (len(args.shape) > 2 or min(args.shape) < 32):
        parser.error(f'--shape {" ".join(map(str, args.shape))} must be one or two numbers of at least 32 pixels.')
    if args.frames < 1:
        parser.error(f'--frames {args.frames} must be at least 1.')
    try:
        cfg = load_config(args.config, args.cfg_options, work_dir=None, launcher='none')
        model = build_model(cfg)
    except (FileNotFoundError, ValueError, KeyError) as error:
        parser.error(str(error))
    # input_size is (width, height), as mmcv's transforms want it.
    size = tuple((args.shape * 2)[:2]) if args.shape else tuple(cfg.get('input_size', (512, 512)))[::-1]
    inputs = random_clips(1, args.frames, size)
    with published_form(model):
        complexity = count(model, lambda: model(inputs, None, mode='tensor'))

    print(table(complexity, args.depth))
    print(f'\nOne clip of {args.frames} frames of {size[0]} x {size[1]} pixels (height x width): '
          f'{complexity.flops[""] / 1e9:.2f} GFLOPs, {complexity.flops[""] / 1e9 / args.frames:.2f} per frame, '
          f'{complexity.parameters[""] / 1e6:.2f} M parameters.')
    print('A multiply-add counts as 2. By operator: ' + ', '.join(
        f'{name} {flops / 1e9:.2f}' for name, flops in sorted(complexity.by_operator.items(), key=lambda x: -x[1])))
    print(explain_uncounted(complexity))
    if args.as_run:
        flops = count(model, lambda: model(inputs, None, mode='tensor')).flops['']
        print('As the model runs, with the mask MLP evaluated by linear pieces, the clip took '
              f'{flops / 1e9:.2f} GFLOPs with these random weights.')
    if args.out:
        Path(args.out).parent.mkdir(parents=True, exist_ok=True)
        Path(args.out).write_text(json.dumps(dict(
            config=args.config, frames=args.frames, height=size[0], width=size[1], **vars(complexity)), indent=2))
    return 0


if __name__ == '__main__':
    sys.exit(main())
