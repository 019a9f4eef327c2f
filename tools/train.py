"""Train a model: ``python tools/train.py configs/avs_mamba/pvt_ms3.py``."""

import argparse
import sys

from mmavs.engine.launch import (
    add_common_arguments,
    build_runner,
    load_config,
    prepare_distributed,
    run_main,
    use_mixed_precision,
)
from mmavs.utils.config_check import check_pretrained
from mmavs.utils.safe_load import use_safe_checkpoint_loading


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line of the tool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file, e.g. configs/avs_mamba/pvt_ms3.py')
    parser.add_argument('--resume', action='store_true', help='go on from the newest checkpoint of the work folder')
    parser.add_argument('--amp', action='store_true', help='mixed precision (the scans stay float32)')
    add_common_arguments(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit code."""
    args = parse_args(argv)
    use_safe_checkpoint_loading(trust=args.trust_checkpoint)
    cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher)
    check_pretrained(cfg)
    cfg.resume = args.resume or cfg.get('resume', False)
    if args.amp:
        use_mixed_precision(cfg)
    prepare_distributed(cfg, args.local_rank)
    build_runner(cfg).train()
    return 0


if __name__ == '__main__':
    sys.exit(run_main(main))
