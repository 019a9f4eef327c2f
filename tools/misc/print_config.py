"""Print a config with its bases merged: ``python tools/misc/print_config.py configs/avs_mamba/pvt_ms3.py``."""

import argparse
import sys

from mmengine.config import DictAction

from mmavs.engine.launch import load_config


def build_parser() -> argparse.ArgumentParser:
    """Command line of the tool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file, e.g. configs/avs_mamba/pvt_ms3.py')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
                        help='override config entries, e.g. train_cfg.max_epochs=1')
    parser.add_argument('--save-path', metavar='FILE', help='write the config to this .py, .json or .yml as well')
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit code."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.save_path and not args.save_path.endswith(('.py', '.json', '.yml', '.yaml')):
        parser.error(f'--save-path {args.save_path} must end in .py, .json or .yml.')
    try:
        cfg = load_config(args.config, args.cfg_options, work_dir=None, launcher='none')
    except (FileNotFoundError, ValueError, KeyError, SyntaxError) as error:
        parser.error(str(error))
    # They come from the command line of the training tool, not from the file.
    for key in ('launcher', 'work_dir'):
        cfg.pop(key, None)
    print(cfg.pretty_text)
    if args.save_path:
        cfg.dump(args.save_path)
    return 0


if __name__ == '__main__':
    sys.exit(main())
