import torch
from torch import nn

from mmavs.models.layers.checkpointing import run_block


def test_activations_are_computed_again_with_the_same_draws():
    calls = []
    layer = nn.Linear(4, 4)

    def block(x):
        calls.append(1)
        return torch.dropout(layer(x), 0.5, train=True)

    x = torch.randn(8, 4)
    gradients = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        layer.zero_grad()
        run_block(block, x, with_cp=with_cp).square().sum().backward()
        gradients.append(layer.weight.grad.clone())
    assert torch.equal(*gradients)
    assert len(calls) == 1 + 2


def test_no_second_computation_without_gradients():
    calls = []
    with torch.no_grad():
        run_block(lambda x: calls.append(1) or x * 2, torch.ones(1), with_cp=True)
    assert len(calls) == 1
