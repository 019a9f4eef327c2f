"""Reads what ``tools/test.py --out`` wrote, ready for scoring any part of its clips again."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmavs.evaluation.bootstrap import Statistic, evaluate_statistic
from mmavs.evaluation.metrics.avs_semantic_metric import semantic_statistics
from mmavs.evaluation.metrics.binary_scores import binary_statistics
from mmavs.evaluation.metrics.presets import BINARY_PRESETS, SEMANTIC_PRESETS, find_preset
from mmavs.evaluation.packed_arrays import unpack_arrays


@dataclass(frozen=True)
class Result:
    """One metric's result.

    Attributes:
        metric: Class of the metric.
        preset: Its preset.
        settings: Its other settings.
        clip_j: video_id -> J of the clip by itself, in percent; in the order of the dataset.
        sums: For each clip, in the same order, what the scores are made of.
    """

    metric: str
    preset: str
    settings: Mapping[str, Any]
    clip_j: Mapping[str, float]
    sums: Mapping[str, np.ndarray]

    @property
    def protocol(self) -> str:
        """What must be equal in two results for their numbers to be comparable."""
        settings = ', '.join(f'{name}={value}' for name, value in self.settings.items())
        return f'{self.metric}, preset {self.preset} ({settings})'

    @property
    def group_size(self) -> int:
        """How many neighbouring clips the protocol pools: the order of the clips matters from 2 on."""
        return self.settings.get('group_size') or 1

    def statistics(self, video_ids: Sequence[str]) -> dict[str, Statistic]:
        """The scores, in percent, as functions of a list of clips.

        Args:
            video_ids: Clips of this result; index i of a list means the i-th of them.
        """
        places = {name: place for place, name in enumerate(self.clip_j)}
        rows = [places[name] for name in video_ids]
        sums = {name: values[rows] for name, values in self.sums.items()}
        if self.metric == 'AVSSemanticMetric':
            return semantic_statistics(sums, find_preset(SEMANTIC_PRESETS, self.preset, self.metric))
        preset = find_preset(BINARY_PRESETS, self.preset, self.metric)
        return binary_statistics(sums, dataclasses.replace(preset, group_size=self.settings['group_size']))


def read_results(path: str | Path) -> list[Result]:
    """Read a result file.

    Returns:
        A result for each metric of the evaluator.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no result file, or names a clip twice.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'No result file {path}; write one with tools/test.py ... --out {path}.')
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        reports = content if isinstance(content, list) else [content]
        results = [_parse(report) for report in reports]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f'{path} cannot be read as a result of tools/test.py --out ({type(error).__name__}: {error}); '
                         'test again to write it anew.') from error
    for result, report in zip(results, reports, strict=True):
        if len(result.clip_j) != len(report['clips']):
            raise ValueError(f'{path} names a clip twice, so its clips cannot be paired with those of another file.')
    if not results:
        raise ValueError(f'{path} holds no result: its evaluator had neither AVSMetric nor AVSSemanticMetric.')
    return results


def _parse(report: Mapping[str, Any]) -> Result:
    """Make a ``Result``; also checks that its scores can be computed."""
    if report['metric'] not in ('AVSMetric', 'AVSSemanticMetric'):
        raise ValueError(f'metric {report["metric"]!r} is unknown')
    result = Result(metric=report['metric'], preset=report['preset'], settings=dict(report['settings']),
                    clip_j={str(clip['video_id']): float(clip['J']) for clip in report['clips']},
                    sums=unpack_arrays(report['sums']))
    lengths = {len(values) for values in result.sums.values()}
    if lengths != {len(report['clips'])}:
        raise ValueError(f'it lists {len(report["clips"])} clips, but has sums of {sorted(lengths)}')
    for statistic in result.statistics(list(result.clip_j)).values():
        evaluate_statistic(statistic, len(result.clip_j))
    return result
