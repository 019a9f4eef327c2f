from types import SimpleNamespace

import pytest

from mmavs.datasets.transforms import LogMelSpectrogram
from mmavs.utils.pipelines import keep_sound


@pytest.mark.parametrize('wrap', [
    lambda dataset, _: dataset,
    lambda dataset, _: SimpleNamespace(dataset=dataset),
    lambda dataset, other: SimpleNamespace(datasets=[other, dataset]),
])
def test_the_transform_is_found_at_any_depth(wrap):
    step = LogMelSpectrogram()
    choice = SimpleNamespace(transforms=[SimpleNamespace(), step])
    dataset = SimpleNamespace(pipeline=SimpleNamespace(transforms=[SimpleNamespace(), choice]))
    silent = SimpleNamespace(pipeline=SimpleNamespace(transforms=[]))
    assert keep_sound(wrap(dataset, silent)) is True
    assert step.keep_sound is True


def test_without_such_a_transform_nothing_is_set():
    step = SimpleNamespace()
    assert keep_sound(SimpleNamespace(pipeline=SimpleNamespace(transforms=[step]))) is False
    assert keep_sound(SimpleNamespace()) is False
    assert not hasattr(step, 'keep_sound')
