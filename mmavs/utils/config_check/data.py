"""Data loaders and metrics, and that they fit the head."""

from collections.abc import Mapping
from typing import Any

from mmavs.utils.arguments import check_whole
from mmavs.utils.type_names import own_type_name

from .nodes import ConfigMistakeError

AVSS_CLASSES = 71
_STEPS = ('LoadClipFrames', 'LoadClipMasks', 'LogMelSpectrogram', 'PackAVSInputs')


def check_loader(name: str, loader: Any) -> None:
    """Numbers of a data loader, which torch would refuse later.

    Raises:
        ConfigMistakeError: If one is not possible.
    """
    if not isinstance(loader, Mapping):
        return
    try:
        for key, lowest in (('batch_size', 1), ('num_workers', 0)):
            if key in loader:
                check_whole(f'{name}.{key}', loader[key], lowest)
    except ValueError as error:
        raise ConfigMistakeError(f'{error}.') from None
    for key in ('persistent_workers', 'prefetch_factor'):
        if loader.get(key) and not loader.get('num_workers'):
            raise ConfigMistakeError(f'{name}.{key}={loader[key]} needs workers: set {name}.num_workers to at least 1, '
                                     f'or {name}.{key}={False if key == "persistent_workers" else None}.')


def check_dataset(name: str, loader: Any, model: Mapping) -> None:
    """Classes and pipeline of an ``AVSBenchDataset``.

    Raises:
        ConfigMistakeError: If they do not fit the model.
    """
    dataset = loader.get('dataset') if isinstance(loader, Mapping) else None
    if own_type_name(dataset) != 'AVSBenchDataset':
        return
    subset, count = dataset.get('subset'), _num_classes(model)
    wanted = dict(s4=1, ms3=1, avss=AVSS_CLASSES).get(subset, count)
    if count != wanted:
        raise ConfigMistakeError(
            f'model.decode_head.num_classes={count} does not fit {name}.dataset.subset={subset!r}, whose masks hold '
            f'{f"{AVSS_CLASSES} classes" if subset == "avss" else "sounding or not"}; set '
            f'model.decode_head.num_classes={wanted}.')
    steps = [own_type_name(step) if isinstance(step, Mapping) else type(step).__name__
             for step in dataset.get('pipeline') or ()]
    missing = [step for step in _STEPS if step not in steps]
    if missing:
        raise ConfigMistakeError(f'{name}.dataset.pipeline lacks mmavs.{" and mmavs.".join(missing)}: the model needs '
                                 'frames, masks and log-mels, packed.')
    if steps[-1] != _STEPS[-1] or steps[0] != _STEPS[0]:
        raise ConfigMistakeError(f'{name}.dataset.pipeline must begin with mmavs.LoadClipFrames and end with '
                                 'mmavs.PackAVSInputs.')


def check_metrics(name: str, metrics: Any, model: Mapping) -> None:
    """A metric must get what the head predicts.

    Raises:
        ConfigMistakeError: If it does not.
    """
    count = _num_classes(model)
    for metric in metrics if isinstance(metrics, list | tuple) else [metrics]:
        kind = own_type_name(metric)
        if kind == 'AVSMetric' and count > 1:
            raise ConfigMistakeError(f'{name}: mmavs.AVSMetric scores sounding or not, but model.decode_head.'
                                     f'num_classes={count}; set num_classes=1, or for masks with classes use '
                                     f'mmavs.AVSSemanticMetric with num_classes={count}.')
        if kind == 'AVSSemanticMetric' and metric.get('num_classes', AVSS_CLASSES) != count:
            raise ConfigMistakeError(f'{name}.num_classes={metric.get("num_classes", AVSS_CLASSES)} does not fit '
                                     f'model.decode_head.num_classes={count}; they must be equal.')


def _num_classes(model: Mapping) -> int:
    return model['decode_head'].get('num_classes', 1)
