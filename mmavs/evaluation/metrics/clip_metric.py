"""What the metrics of this package share: one record per clip, the order of the dataset, reports."""

import math
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mmavs.evaluation.bootstrap import Statistic, bootstrap_interval, evaluate_statistic
from mmavs.evaluation.packed_arrays import pack_arrays


@dataclass
class ClipRecord:
    """What is kept of a clip until the scores are computed.

    Attributes:
        video_id: Name of the clip.
        category: Its category, or None.
        sample_idx: Its place in the dataset, or None.
        frames: Places of its labelled frames in the clip.
    """

    video_id: str
    category: str | None
    sample_idx: int | None
    frames: list[int]


class ClipMetric(BaseMetric):
    """A metric with one record per clip, whose scores depend on nothing but the set of clips and their dataset order.

    mmengine cuts what the processes collected to the length of the dataset, so there must be one record per clip. The
    records are sorted by ``sample_idx`` (which mm datasets give every sample) or, where a sample lacks it, by
    ``video_id``; hence batch size, workers, processes and order of evaluation change nothing, also where a preset
    pools groups of clips.

    Attributes:
        per_clip: After the evaluation, on the main process: a dict for each clip in dataset order, with ``video_id``,
            ``category``, ``J``, ``F``, ``num_frames`` and ``frames``. Percent.
        categories: A dict for each category, with ``category``, ``num_clips``, ``J`` and ``F``. Percent.
        statistics: The scores as functions of a list of clips, indices into ``per_clip``.
    """

    def __init__(self, collect_device: str = 'cpu', prefix: str | None = None, collect_dir: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        self.per_clip: list[dict] = []
        self.categories: list[dict] = []
        self._sums: dict[str, np.ndarray] = {}

    @property
    def statistics(self) -> dict[str, Statistic]:
        """Each score of the last evaluation as a function of a list of clips, indices into ``per_clip``."""
        return self.score_statistics(self._sums)

    def process(self, data_batch: Any, data_samples: Sequence[Mapping]) -> None:
        """Measure the clips of a batch.

        Args:
            data_batch: Not used.
            data_samples: One dict for each clip, see the class.

        Raises:
            ValueError: If a field is missing or does not fit; the message names the clip.
        """
        for sample in data_samples:
            video_id = sample.get('video_id')
            if video_id is None:
                raise ValueError(f'{type(self).__name__}: a sample has no video_id; PackAVSInputs adds it.')
            try:
                self.results.append(self.measure_clip(str(video_id), sample))
            except ValueError as error:
                raise ValueError(f'{type(self).__name__}, clip {video_id}: {error}') from error

    def compute_metrics(self, results: list[ClipRecord]) -> dict[str, float]:
        """Compute the scores of all clips.

        Args:
            results: The records.

        Returns:
            Score names without prefix -> percent; NaN where a score is undefined (no silent frame, for example).

        Raises:
            ValueError: If no clip has a labelled frame.
        """
        clips = [clip for clip in sort_clips(results) if clip.frames]
        if not clips:
            raise ValueError(f'{type(self).__name__}: none of the {len(results)} clips has a labelled frame; is the '
                             'split one with masks?')
        self._sums = self.sum_clips(clips)
        self.per_clip, self.categories = self.describe_clips(clips, self._sums)
        return {name: evaluate_statistic(statistic, len(clips))
                for name, statistic in self.score_statistics(self._sums).items()}

    def report(self, num_samples: int = 2000, seed: int = 0, leaked: Collection[str] = ()) -> dict[str, Any]:
        """Everything about the last evaluation, ready for JSON (undefined values are None).

        Call it on the main process, after the evaluation.

        Args:
            num_samples: Resamples of the bootstrap. Default 2000.
            seed: Seed of the bootstrap. Default 0.
            leaked: Names of clips whose source video is also in train (``AVSBenchDataset.leaked_clips``). If some of
                the clips are among them, and not all, the scores of the others are added. Default: none.

        Returns:
            ``metric``, ``preset``, ``description``, ``warning``, ``settings``, ``metrics`` (prefixed name -> percent),
            ``intervals`` (prefixed name -> 95 % interval over clips), ``categories``, ``clips``, ``leak_free``: None,
            or ``leaked`` (names), ``num_clips`` (of the others), and their ``metrics`` and ``intervals``; and ``sums``,
            for each clip what the scores are made of (see :mod:`mmavs.evaluation.packed_arrays`).

        Raises:
            RuntimeError: If nothing was evaluated yet.
        """
        if not self._sums:
            raise RuntimeError(f'{type(self).__name__}.report() needs an evaluation first (on the main process).')
        names = [clip['video_id'] for clip in self.per_clip]
        clean = [index for index, name in enumerate(names) if name not in leaked]
        leak_free = None
        if 0 < len(clean) < len(names):
            sums = {name: values[clean] for name, values in self._sums.items()}
            leak_free = dict(leaked=[name for name in names if name in leaked], num_clips=len(clean),
                             **self._values(sums, len(clean), num_samples, seed))
        return without_nan(dict(
            metric=type(self).__name__, **self.describe_protocol(),
            **self._values(self._sums, len(names), num_samples, seed), categories=self.categories, clips=self.per_clip,
            leak_free=leak_free, sums=pack_arrays(self._sums)))

    def _values(self, sums: Mapping[str, np.ndarray], num_clips: int, num_samples: int, seed: int) -> dict[str, dict]:
        """``metrics`` and ``intervals`` under prefixed names."""
        scores = {f'{self.prefix}/{name}' if self.prefix else name: statistic
                  for name, statistic in self.score_statistics(sums).items()}
        return dict(
            metrics={name: evaluate_statistic(statistic, num_clips) for name, statistic in scores.items()},
            intervals={name: list(bootstrap_interval(statistic, num_clips, num_samples=num_samples, seed=seed))
                       for name, statistic in scores.items()})

    @abstractmethod
    def measure_clip(self, video_id: str, sample: Mapping) -> ClipRecord:
        """Count what the scores of one clip need."""

    @abstractmethod
    def sum_clips(self, clips: list[ClipRecord]) -> dict[str, np.ndarray]:
        """For each clip all that the scores are made of: arrays whose first axis is the clip."""

    @abstractmethod
    def score_statistics(self, sums: Mapping[str, np.ndarray]) -> dict[str, Statistic]:
        """Each score, in percent, as a function of a list of the clips of :meth:`sum_clips`."""

    @abstractmethod
    def describe_clips(self, clips: list[ClipRecord], sums: Mapping[str, np.ndarray]) -> tuple[list[dict], list[dict]]:
        """Values of every clip and of every category."""

    @abstractmethod
    def describe_protocol(self) -> dict[str, Any]:
        """``preset``, ``description``, ``warning`` and ``settings`` of the report."""


def sort_clips(clips: Sequence[ClipRecord]) -> list[ClipRecord]:
    """Sort by place in the dataset, or by name where a clip has no place."""
    if all(clip.sample_idx is not None for clip in clips):
        return sorted(clips, key=lambda clip: clip.sample_idx)
    return sorted(clips, key=lambda clip: clip.video_id)


def read_field(sample: Mapping, name: str) -> Tensor:
    """Take the tensor (T, H, W) out of ``sample[name]``, a ``PixelData`` or its dict.

    Raises:
        ValueError: If it is missing or has another number of axes.
    """
    if name not in sample:
        raise ValueError(f'the sample has no {name}; it has {", ".join(sorted(sample))}.')
    field = sample[name]
    data = field['data'] if isinstance(field, Mapping) else field.data
    if data.dim() != 3:
        raise ValueError(f'{name} must have shape (T, H, W), got {tuple(data.shape)}.')
    return data


def without_nan(value: Any) -> Any:
    """Replace NaN by None in nested dicts and lists: JSON has no NaN."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
