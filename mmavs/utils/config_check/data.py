"""Data loaders and metrics, and that they fit the head."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.registry import TRANSFORMS

from mmavs.utils.arguments import check_whole
from mmavs.utils.type_names import own_type_name

from .nodes import ConfigMistakeError

AVSS_CLASSES = 71
# Transforms of images; those that run other transforms may hold steps for clips.
_IMAGE_TRANSFORMS = ('mmcv.transforms.processing', 'mmcv.transforms.loading', 'mmcv.transforms.formatting',
                     'mmseg.datasets.transforms')
_WRAPPERS = ('TestTimeAug', 'MultiScaleFlipAug')
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


def check_dataset(name: str, loader: Any, model: Mapping, scope: str) -> None:
    """Classes and pipeline of an ``AVSBenchDataset``.

    Args:
        name: Key of the data loader.
        loader: Its config.
        model: Config of the model.
        scope: The config's default scope.

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
    _check_pipeline(f'{name}.dataset.pipeline', dataset.get('pipeline') or (), scope)


def _check_pipeline(path: str, pipeline: Sequence, scope: str) -> None:
    """All steps are for clips and, where all of them are of this package, none that the model needs is missing."""
    with TRANSFORMS.switch_scope_and_registry(scope) as known:
        for index, step in enumerate(pipeline):
            kind = step.get('type') if isinstance(step, Mapping) else type(step)
            kind = known.get(kind) if isinstance(kind, str) else kind
            if getattr(kind, '__module__', '').startswith(_IMAGE_TRANSFORMS) and kind.__name__ not in _WRAPPERS:
                raise ConfigMistakeError(
                    f'{path}[{index}]: {kind.__name__} is for single images and does not see the frames of a clip; use '
                    "this package's steps (mmavs.LoadClipFrames, LoadClipMasks, ClipResize, ClipRandomFlip, "
                    'ClipRandomResizedCrop, ClipPhotoMetricDistortion, PackAVSInputs) or one of your own.')
    steps = [own_type_name(step if isinstance(step, Mapping) else dict(type=type(step))) for step in pipeline]
    if None in steps:
        return
    missing = [step for step in _STEPS if step not in steps]
    if missing:
        raise ConfigMistakeError(f'{path} lacks mmavs.{" and mmavs.".join(missing)}: the model needs '
                                 'frames, masks and log-mels, packed.')
    if steps[-1] != _STEPS[-1] or steps[0] != _STEPS[0]:
        raise ConfigMistakeError(f'{path} must begin with mmavs.LoadClipFrames and end with mmavs.PackAVSInputs.')


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
