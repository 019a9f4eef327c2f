"""How much is marked that does not sound: for sounds that nothing on view makes."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.evaluator import BaseMetric

from mmavs.evaluation.functional import IGNORE
from mmavs.evaluation.metrics.clip_metric import read_field
from mmavs.registry import METRICS

TRUTHS = ('masks', 'empty')


@METRICS.register_module()
class FalsePositiveMetric(BaseMetric):
    """False positives of binary and semantic predictions alike: a pixel is positive if its class is not 0.

    Scores, in percent, means over the labelled frames of all clips:

    - ``fp/area``: share of a frame that is predicted as sounding, and is not.
    - ``fp/clean``: share of frames without any pixel that is falsely predicted.
    - ``fp/predicted``: share of a frame that is predicted as sounding.

    A sample needs ``gt_sem_seg`` (255 = no label) and ``pred_sem_seg``, both (T, H, W), and ``video_id``.

    Args:
        truth: ``'masks'`` (default), or ``'empty'`` where the sound was replaced by one that nothing on view makes: all
            that is predicted is then false. The masks only tell which frames are labelled.
        collect_device: As for mmengine's ``BaseMetric``.
        prefix: As for mmengine's ``BaseMetric``. Default ``'fp'``.
        collect_dir: As for mmengine's ``BaseMetric``.

    Raises:
        ValueError: For another ``truth``; or (in ``process``) if a field is missing or the sizes differ.
    """

    default_prefix = 'fp'

    def __init__(self, truth: str = 'masks', collect_device: str = 'cpu', prefix: str | None = None,
                 collect_dir: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        if truth not in TRUTHS:
            raise ValueError(f'FalsePositiveMetric: truth must be one of {", ".join(TRUTHS)}, got {truth!r}.')
        self.truth = truth

    def process(self, data_batch: Any, data_samples: Sequence[Mapping]) -> None:
        """Measure the clips of a batch; ``data_batch`` is not used."""
        for sample in data_samples:
            target, prediction = read_field(sample, 'gt_sem_seg'), read_field(sample, 'pred_sem_seg')
            if target.shape != prediction.shape:
                raise ValueError(f'FalsePositiveMetric, clip {sample.get("video_id")}: pred_sem_seg has shape '
                                 f'{tuple(prediction.shape)}, but gt_sem_seg {tuple(target.shape)}; predictions are '
                                 'expected at the size of the masks.')
            target = target.to(prediction.device).flatten(1)
            labelled = (target != IGNORE).any(1)
            target, predicted = target[labelled], prediction.flatten(1)[labelled] > 0
            false = predicted if self.truth == 'empty' else predicted & (target == 0)
            self.results.append((false.double().mean(1).tolist(), predicted.double().mean(1).tolist()))

    def compute_metrics(self, results: list[tuple[list[float], list[float]]]) -> dict[str, float]:
        """The three scores of all clips; NaN where no frame is labelled."""
        false = [area for areas, _ in results for area in areas]
        predicted = [area for _, areas in results for area in areas]
        count = len(false)
        if count == 0:
            return dict(area=float('nan'), clean=float('nan'), predicted=float('nan'))
        return dict(area=100 * sum(false) / count, clean=100 * sum(area == 0 for area in false) / count,
                    predicted=100 * sum(predicted) / count)
