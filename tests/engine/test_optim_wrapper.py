"""bfloat16 training."""

import pytest
import torch
from torch import nn

from mmavs.registry import OPTIM_WRAPPERS


def build(model: nn.Module, **kwargs):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    return OPTIM_WRAPPERS.build(dict(type='mmavs.AutocastOptimWrapper', optimizer=optimizer, **kwargs))


def test_forward_is_bfloat16_and_weights_stay_float32():
    model = nn.Linear(2, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    wrapper = build(model)
    with wrapper.optim_context(model):
        out = model(torch.tensor([[1.0, 2.0]]))
    assert out.dtype == torch.bfloat16
    wrapper.update_params(out.float().sum())
    assert model.weight.dtype == torch.float32
    # w - lr * x = 1 - 0.5 * (1, 2)
    assert torch.equal(model.weight.detach(), torch.tensor([[0.5, 0.0]]))


def test_autocast_ends_with_the_context():
    model = nn.Linear(2, 1)
    with build(model).optim_context(model):
        pass
    assert model(torch.ones(1, 2)).dtype == torch.float32


def test_other_dtypes_are_refused():
    with pytest.raises(ValueError, match="dtype='float16': AutocastOptimWrapper supports 'bfloat16' only"):
        build(nn.Linear(1, 1), dtype='float16')
