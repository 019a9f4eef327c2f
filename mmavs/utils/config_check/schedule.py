"""Length of the training, and the score by which the best checkpoint is chosen."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmavs.utils.arguments import check_whole
from mmavs.utils.type_names import own_type_name

from .nodes import ConfigMistakeError, suggestion

# What the metrics of this package report: class -> (prefix, names).
SCORES = {
    'AVSMetric': ('avs', ('J', 'F', 'J_sounding', 'silent_fp_area', 'silent_clean')),
    'AVSSemanticMetric': ('avss', ('mIoU', 'F', 'mIoU_no_bg', 'F_no_bg', 'mIoU_seen', 'mIoU_dataset')),
    'FalsePositiveMetric': ('fp', ('area', 'clean', 'predicted')),
}


def check_train_cfg(train_cfg: Any) -> None:
    """Epochs, iterations and the interval of the validation are whole numbers of at least 1.

    Raises:
        ConfigMistakeError: If one is not.
    """
    if not isinstance(train_cfg, Mapping):
        return
    for key in ('max_epochs', 'max_iters', 'val_interval', 'val_begin'):
        if key in train_cfg:
            try:
                check_whole(f'train_cfg.{key}', train_cfg[key])
            except ValueError as error:
                raise ConfigMistakeError(f'{error}.') from None


def check_save_best(hooks: Any, evaluator: Any) -> None:
    """``save_best`` must be a score that one of the validation's metrics reports.

    Nothing is checked where a metric of another package is among them.

    Raises:
        ConfigMistakeError: If it is not.
    """
    hook = hooks.get('checkpoint') if isinstance(hooks, Mapping) else None
    wanted = hook.get('save_best') if isinstance(hook, Mapping) else None
    metrics = evaluator if isinstance(evaluator, list | tuple) else [evaluator]
    if not wanted or wanted == 'auto' or any(own_type_name(metric) not in SCORES for metric in metrics):
        return
    known = [name for metric in metrics for name in _scores(metric)]
    for name in [wanted] if isinstance(wanted, str) else wanted:
        if name not in known:
            raise ConfigMistakeError(f'default_hooks.checkpoint.save_best={name!r}: val_evaluator reports no such '
                                     f'score{suggestion(name, known)}; it reports {", ".join(known)}.')


def _scores(metric: Mapping) -> Sequence[str]:
    prefix, names = SCORES[own_type_name(metric)]
    return [f'{metric.get("prefix") or prefix}/{name}' for name in names]
