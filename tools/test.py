"""Test a model: ``python tools/test.py configs/avs_mamba/pvt_ms3.py work_dirs/pvt_ms3/best.pth``."""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.runner import Runner

from mmavs.engine.hooks.provenance_hook import describe_run
from mmavs.engine.launch import add_common_arguments, build_runner, load_config, prepare_distributed, run_main
from mmavs.engine.runner import atomic_write
from mmavs.evaluation.metrics.clip_metric import ClipMetric
from mmavs.evaluation.report_table import format_report
from mmavs.utils.safe_load import use_safe_checkpoint_loading
from mmavs.utils.type_names import own_type_name


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
    if args.out is not None:
        check_writable(Path(args.out))
    cfg.load_from, cfg.resume = args.checkpoint, False
    hooks = cfg.setdefault('default_hooks', {})
    if args.show_dir:
        hooks.visualization = draw_sheets(hooks.get('visualization'), args.show_dir)
    if args.report:
        hooks.report = dict(type='mmavs.ReportHook', out_dir=args.report)
    prepare_distributed(cfg, args.local_rank)
    runner = build_runner(cfg)
    runner.test()
    if is_main_process():
        write_report(runner, args.checkpoint, args.out)
    return 0


def check_writable(path: Path) -> None:
    """Find out before the test whether its scores can be written, and make the folder.

    Raises:
        ValueError: If the path is a folder.
        OSError: If its folder cannot be made or written to.
    """
    if path.is_dir():
        raise ValueError(f'--out {path} is a folder; name a file, e.g. {path / "results.json"}.')
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent):
        pass


def draw_sheets(hook: dict | None, folder: str) -> dict:
    """The config of the visualization hook, whatever the config had in its place, that draws into ``folder``."""
    settings = hook if own_type_name(hook) == 'AVSVisualizationHook' else {}
    return {**settings, 'type': 'mmavs.AVSVisualizationHook', 'draw': True, 'show_dir': folder}


def write_report(runner: Runner, checkpoint: str, out: str | None) -> None:
    """Print the table of every metric and, if asked, write the reports.

    Beside what ``metric.report()`` has, the file says what the scores come from: ``checkpoint``, ``provenance``, and
    ``skipped``, the clips that could not be loaded and are in no score.

    Raises:
        OSError: If the file cannot be written.
    """
    dataset = runner.test_loop.dataloader.dataset
    leaked = getattr(dataset, 'leaked_clips', set)()
    skipped = [dict(video_id=name, reason=reason) for name, reason in getattr(dataset, 'skipped', ())]
    facts = dict(checkpoint=str(Path(checkpoint).resolve()), provenance=describe_run(runner), skipped=skipped)
    reports = [{**metric.report(leaked=leaked), **facts} for metric in runner.test_loop.evaluator.metrics
               if isinstance(metric, ClipMetric)]
    for report in reports:
        print(format_report(report))
    if skipped:
        print(f'\n{len(skipped)} of {len(skipped) + len(dataset)} clips could not be loaded and are in no score:')
        print('\n'.join(f'  {clip["video_id"]}: {clip["reason"]}' for clip in skipped))
    if out is not None:
        write_scores(reports, out)


def write_scores(reports: list[dict], out: str) -> None:
    """Write one report as an object, several as a list; the file is complete or as it was before.

    Raises:
        OSError: If the file cannot be written.
    """
    text = json.dumps(reports[0] if len(reports) == 1 else reports, indent=1)
    try:
        atomic_write(out, text.encode())
    except OSError as error:
        raise OSError(f'The scores above could not be written to {out} ({error.strerror}): free space there or give '
                      'another --out.') from error
    print(f'Scores and values per clip: {out}')


if __name__ == '__main__':
    sys.exit(run_main(main))
