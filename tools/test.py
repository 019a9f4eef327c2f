"""Test a model: ``python tools/test.py configs/avs_mamba/pvt_ms3.py work_dirs/pvt_ms3/best.pth``."""

import argparse
import sys

from mmengine.runner import Runner

from mmavs.engine.launch import add_common_arguments, load_config, prepare_distributed


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line of the tool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file, e.g. configs/avs_mamba/pvt_ms3.py')
    parser.add_argument('checkpoint', help='weights, e.g. work_dirs/pvt_ms3/best.pth')
    parser.add_argument('--out', metavar='FILE.json', help='write the metrics and the values of every clip')
    parser.add_argument('--show-dir', metavar='DIR', help='write one contact sheet per clip')
    add_common_arguments(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit code."""
    args = parse_args(argv)
    cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher)
    cfg.load_from = args.checkpoint
    if args.show_dir:
        cfg.default_hooks.visualization.update(draw=True, show_dir=args.show_dir)
    prepare_distributed(cfg, args.local_rank)
    Runner.from_cfg(cfg).test()
    return 0


if __name__ == '__main__':
    sys.exit(main())
