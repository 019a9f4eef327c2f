import numpy as np
import pytest
from torch import nn

from mmavs.apis.labels import Labels
from mmavs.structures import AVSS_CLASSES, avss_palette


def model(num_classes, threshold=None, meta=None):
    result = nn.Module()
    result.decode_head = nn.Module()
    result.decode_head.num_classes = num_classes
    result.decode_head.threshold = threshold
    result.dataset_meta = meta
    return result


@pytest.mark.parametrize(('threshold', 'expected'), [(None, 0.5), (0.3, 0.3)])
def test_binary_models_have_one_colour(threshold, expected):
    labels = Labels.of_model(model(1, threshold, dict(classes=['a', 'b'], palette=[[1, 2, 3], [9, 9, 9]])))
    assert labels.classes == ('background', 'sounding')
    assert labels.palette.tolist() == [[0, 0, 0], [255, 190, 11]]
    assert labels.num_classes == 2
    assert labels.threshold == expected


def test_avss_names_and_colours():
    labels = Labels.of_model(model(71))
    assert labels.classes == AVSS_CLASSES
    assert np.array_equal(labels.palette, avss_palette(71))


def test_the_checkpoint_knows_better():
    meta = dict(classes=['none', 'dog', 'cat'], palette=[[0, 0, 0], [1, 2, 3], [4, 5, 6]])
    labels = Labels.of_model(model(3, meta=meta))
    assert labels.classes == ('none', 'dog', 'cat')
    assert labels.palette[2].tolist() == [4, 5, 6]


def test_unknown_classes_are_numbered():
    labels = Labels.of_model(model(4, meta=dict(classes=['too', 'few'])))
    assert labels.classes == ('background', 'class 1', 'class 2', 'class 3')
    assert np.array_equal(labels.palette, avss_palette(4))
