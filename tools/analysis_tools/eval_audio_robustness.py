"""Test a model with other sounds in the place of the clips' own, and see whether it listens.

Each clip is tested with its own sound, with white noise added to it, and with sounds that nothing on view makes:
silence, noise alone, another clip's sound, and that of another category: on S4 by the categories, on AVSS a clip whose
masks have no class in common. All of them go through the same front end. J is against the masks in every case: where
the sound is not the clip's own, a model that listens loses it. The false-positive area is what is marked and does not
sound: outside of the masks with the own sound, all that is marked with another. (Just another clip may hold the same
kind of sound by chance; on MS3 nothing says so.)

Example:
    python tools/analysis_tools/eval_audio_robustness.py configs/avs_mamba/pvt_ms3.py best.pth --out robustness.json
"""

import argparse
import copy
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.evaluator import Evaluator
from torch import nn
from tqdm import tqdm

from mmavs.datasets.sound_donors import SUBSETS_WITH_CATEGORIES
from mmavs.engine.launch import load_config, run_main
from mmavs.engine.runner import AVSRunner
from mmavs.evaluation.bootstrap import Statistic, paired_difference
from mmavs.evaluation.metrics.clip_metric import ClipMetric, without_nan
from mmavs.registry import DATASETS
from mmavs.utils.building import build_model
from mmavs.utils.safe_load import use_safe_checkpoint_loading
from mmavs.utils.type_names import own_type_name, type_name

# Of binary and of semantic tasks.
MAIN_SCORES = ('J', 'mIoU')
HEADER = ('sound', 'J', 'J, own minus this (95 % interval)', 'false-positive area', 'clean frames', 'marked area')


@dataclass(frozen=True)
class Condition:
    """One way to change the sounds.

    Attributes:
        name: In the table.
        sound_of: As for ``AVSBenchDataset``.
        replace: Arguments of ``ReplaceSound``; None: not used.
        truth: ``masks`` where the clip's own sound is still there, else ``empty``.
    """

    name: str
    sound_of: str = 'own'
    replace: dict | None = None
    truth: str = 'empty'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line of the tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, e.g. configs/avs_mamba/pvt_ms3.py')
    parser.add_argument('checkpoint', help='weights, e.g. work_dirs/pvt_ms3/best.pth')
    parser.add_argument('--snr', type=float, nargs='*', default=[20.0, 10.0, 0.0, -10.0], metavar='DB',
                        help='how much louder the own sound is than the added noise (default: 20 10 0 -10)')
    parser.add_argument('--seed', type=int, default=0, help='of the noise (default: 0)')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu',
                        help='cpu or cuda (default: cuda if there is one)')
    parser.add_argument('--out', metavar='FILE.json', help='write all numbers, with values per clip')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
                        help='override config entries, e.g. test_dataloader.dataset.data_root=data/avsbench')
    parser.add_argument('--trust-checkpoint', action='store_true',
                        help='open checkpoints that execute code when they are loaded; only for files of your own')
    return parser.parse_args(argv)


def conditions(subset: str, snrs: list[float], seed: int) -> list[Condition]:
    """The sounds to test with, the clips' own first."""
    added = [Condition(f'noise added, {snr:g} dB', replace=dict(kind='noise_added', snr_db=snr, seed=seed),
                       truth='masks') for snr in snrs]
    others = [Condition('another clip', sound_of='other_clip')]
    if subset in SUBSETS_WITH_CATEGORIES:
        others.append(Condition('another category', sound_of='other_category'))
    return [Condition('own', truth='masks'), *added, Condition('noise alone', replace=dict(kind='noise', seed=seed)),
            Condition('silence', replace=dict(kind='silence')), *others]


def dataset_config(dataset: ConfigDict, condition: Condition) -> ConfigDict:
    """The test set with its sounds changed.

    Raises:
        ValueError: If the config does not test on an ``AVSBenchDataset`` with ``LogMelSpectrogram``.
    """
    dataset = copy.deepcopy(dataset)
    kinds = [type_name(step) for step in dataset.get('pipeline', ())]
    if own_type_name(dataset) != 'AVSBenchDataset' or 'LogMelSpectrogram' not in kinds:
        raise ValueError("test_dataloader.dataset must be an 'mmavs.AVSBenchDataset' whose pipeline has an "
                         f"'mmavs.LogMelSpectrogram', but it is {dataset.type!r} with {kinds}.")
    dataset.sound_of = condition.sound_of
    if condition.replace is not None:
        step = ConfigDict(type='mmavs.ReplaceSound', **condition.replace)
        dataset.pipeline.insert(kinds.index('LogMelSpectrogram'), step)
    return dataset


@torch.no_grad()
def evaluate(model: nn.Module, cfg: Config, condition: Condition, bar: tqdm) -> tuple[dict[str, Any], Statistic | None]:
    """Test under one condition; returns its row, and its J (binary) or mIoU (semantic) as a function of the clips."""
    loader_cfg = copy.deepcopy(cfg.test_dataloader)
    # Workers end with each condition: the next one has another pipeline.
    loader_cfg.update(dataset=DATASETS.build(dataset_config(loader_cfg.dataset, condition)), persistent_workers=False)
    loader = AVSRunner.build_dataloader(loader_cfg, seed=0)
    metrics = cfg.test_evaluator if isinstance(cfg.test_evaluator, list | tuple) else [cfg.test_evaluator]
    evaluator = Evaluator([*copy.deepcopy(metrics), dict(type='mmavs.FalsePositiveMetric', truth=condition.truth)])
    evaluator.dataset_meta = loader.dataset.metainfo
    bar.set_description(condition.name)
    for batch in loader:
        samples = model.test_step(batch)
        evaluator.process(data_samples=samples, data_batch=batch)
        bar.update(len(samples))
    scores = evaluator.evaluate(len(loader.dataset))
    metric = next((metric for metric in evaluator.metrics if isinstance(metric, ClipMetric)), None)
    row = dict(asdict(condition), metrics=scores, clips=[{key: clip[key] for key in ('video_id', 'J', 'F')}
                                                         for clip in (metric.per_clip if metric else ())])
    statistics = metric.statistics if metric else {}
    return row, next((statistics[name] for name in statistics if name in MAIN_SCORES), None)


def score_of(row: dict) -> float | None:
    """J of a binary task, mIoU of a semantic one."""
    return next((value for name, value in row['metrics'].items() if name.split('/')[-1] in MAIN_SCORES), None)


def run(cfg: Config, model: nn.Module, snrs: list[float], seed: int) -> list[dict]:
    """Test under all conditions; returns a row for each, with ``loss``: own score minus this, and its interval."""
    chosen = conditions(cfg.test_dataloader.dataset.get('subset'), snrs, seed)
    count = len(DATASETS.build(dataset_config(cfg.test_dataloader.dataset, chosen[0])))
    with tqdm(total=count * len(chosen), unit='clip') as bar:
        results = [evaluate(model, cfg, condition, bar) for condition in chosen]
    own = results[0][1]
    for row, score in results:
        if score is not None:
            row['loss'] = list(paired_difference(score, own, len(row['clips']))[:3])
    return [row for row, _ in results]


def format_rows(rows: list[dict]) -> Iterator[str]:
    """Lines of the table, all numbers in percent."""
    cells = [HEADER]
    for row in rows:
        scores = row['metrics']
        loss = '{:.2f} ({:.2f} to {:.2f})'.format(*row['loss']) if row.get('loss') and row is not rows[0] else '-'
        cells.append((row['name'], f'{score_of(row):.2f}', loss,
                      *(f'{scores[f"fp/{name}"]:.2f}' for name in ('area', 'clean', 'predicted'))))
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADER))]
    for line in cells:
        yield '  '.join(text.ljust(widths[0]) if column == 0 else text.rjust(widths[column])
                        for column, text in enumerate(line))


def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit code."""
    args = parse_args(argv)
    use_safe_checkpoint_loading(trust=args.trust_checkpoint)
    cfg = load_config(args.config, args.cfg_options, work_dir=None, launcher='none')
    if not Path(args.checkpoint).is_file():
        raise FileNotFoundError(f'No checkpoint {args.checkpoint}; tools/train.py writes them to its work folder.')
    if not torch.cuda.is_available() and args.device.startswith('cuda'):
        raise ValueError(f'--device {args.device}: this PyTorch sees no GPU; use --device cpu.')
    model = build_model(cfg, args.checkpoint, args.device)
    rows = run(cfg, model, args.snr, args.seed)
    print('\n'.join(format_rows(rows)))
    if args.out:
        Path(args.out).parent.mkdir(parents=True, exist_ok=True)
        Path(args.out).write_text(json.dumps(without_nan(dict(
            config=args.config, checkpoint=args.checkpoint, seed=args.seed, conditions=rows)), indent=1))
        print(f'All numbers: {args.out}')
    return 0


if __name__ == '__main__':
    sys.exit(run_main(main))
