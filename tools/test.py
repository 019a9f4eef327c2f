"""Test a model: ``python tools/test.py configs/avs_mamba/pvt_ms3.py work_dirs/pvt_ms3/best.pth``."""

import argparse
import json
import sys
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.runner import Runner

from mmavs.engine.launch import add_common_arguments, load_config, prepare_distributed, run_main
from mmavs.engine.runner import AVSRunner
from mmavs.evaluation.metrics.clip_metric import ClipMetric
from mmavs.evaluation.report_table import format_report
from mmavs.utils.safe_load import use_safe_checkpoint_loading


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line of the tool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file, e.g. configs/avs_mamba/pvt_ms3.py')
    parser.add_argument('checkpoint', help='weights, e.g. work_dirs/pvt_ms3/best.pth')
    parser.add_argument('--out', metavar='FILE.json', help='write the scores, their intervals and the values per clip')
    parser.add_argument('--show-dir', metavar='DIR', help='write one contact sheet per clip')
    parser.add_argument('--report', metavar='DIR', help='write a web page of the scores and of every clip with its '
                        'sound; open DIR/index.html')
    add_common_arguments(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit code."""
    args = parse_args(argv)
    use_safe_checkpoint_loading(trust=args.trust_checkpoint)
    cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher)
    if not Path(args.checkpoint).is_file():
        raise FileNotFoundError(f'No checkpoint {args.checkpoint}. tools/train.py writes them to its work folder, '
                                f'here {cfg.work_dir}.')
    cfg.load_from, cfg.resume = args.checkpoint, False
    if args.show_dir:
        cfg.default_hooks.visualization.update(draw=True, show_dir=args.show_dir)
    if args.report:
        cfg.default_hooks.report = dict(type='mmavs.ReportHook', out_dir=args.report)
    prepare_distributed(cfg, args.local_rank)
    runner = AVSRunner.from_cfg(cfg)
    runner.test()
    if is_main_process():
        write_report(runner, args.out)
    return 0


def write_report(runner: Runner, out: str | None) -> None:
    """Print the table of every metric and, if asked, write the reports: one object, or a list if there are several."""
    find_leaks = getattr(runner.test_loop.dataloader.dataset, 'leaked_clips', set)
    leaked = find_leaks()
    reports = [metric.report(leaked=leaked) for metric in runner.test_loop.evaluator.metrics
               if isinstance(metric, ClipMetric)]
    for report in reports:
        print(format_report(report))
    if out is not None:
        path = Path(out)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(reports[0] if len(reports) == 1 else reports, indent=1))
        print(f'Scores and values per clip: {path}')


if __name__ == '__main__':
    sys.exit(run_main(main))
