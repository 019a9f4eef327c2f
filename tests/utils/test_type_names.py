"""Names of types, in all forms that a config may hold."""

import pytest
import torch

from mmavs.models import MTENeck
from mmavs.utils.type_names import own_type_name, type_name


@pytest.mark.parametrize('kind', ['mmavs.MTENeck', 'mmavs.models.MTENeck', 'mmavs.models.necks.mte_neck.MTENeck',
                                  MTENeck])
def test_all_forms_of_a_class_of_this_package(kind):
    assert type_name(dict(type=kind)) == own_type_name(dict(type=kind)) == 'MTENeck'


@pytest.mark.parametrize('kind', ['SGD', 'mmseg.SGD', 'torch.optim.SGD', torch.optim.SGD])
def test_all_forms_of_a_class_of_another_package(kind):
    assert type_name(dict(type=kind)) == 'SGD'
    assert own_type_name(dict(type=kind)) is None


@pytest.mark.parametrize('node', [None, {}, dict(kind='mmavs.MTENeck'), dict(type=None), 'mmavs.MTENeck', ['mmavs.X']])
def test_what_has_no_type(node):
    assert type_name(node) is None
    assert own_type_name(node) is None
