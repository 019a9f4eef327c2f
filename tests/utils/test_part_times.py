import pytest
import torch
from torch import nn

from mmavs.ops import cross_selective_scan
from mmavs.utils import part_times
from mmavs.utils.part_times import costliest, timed_operators, timed_parts


class Clock:
    now = 0


class Other(nn.Module):
    """Takes some time, then runs what is inside."""

    def __init__(self, seconds: int, *inside: nn.Module) -> None:
        super().__init__()
        self.seconds, self.inside = seconds, nn.Sequential(*inside)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        Clock.now += self.seconds
        return self.inside(x)


class Own(Other):
    __module__ = 'mmavs.models'


class Broken(Own):
    __module__ = 'mmavs.models'

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise ValueError('broken')


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setattr(part_times, '_now', lambda: Clock.now)


def test_times_of_parts_are_without_those_inside_and_equal_parts_are_added():
    model = nn.Module()
    model.neck = Other(2, Own(4, Own(8)), Other(1))
    model.head = Own(3)
    model.forward = lambda x: model.head(model.neck(x))
    with timed_parts(model) as seconds:
        model(torch.zeros(1))
        model(torch.zeros(1))
    model(torch.zeros(1))
    assert seconds == {'neck Other': 6, 'neck Own': 24, 'head Own': 6}
    assert costliest(seconds, 2) == [('neck Own', 24, 24 / 36), ('neck Other', 6, 6 / 36)]


def test_a_part_that_raises_leaves_no_part_open():
    model = nn.Sequential(Own(1, Broken(0)), Own(2))
    with timed_parts(model) as seconds:
        with pytest.raises(ValueError, match='broken'):
            model(torch.zeros(1))
        model[1](torch.zeros(1))
    assert seconds == {'0 Own': 1, '0 Broken': 0, '1 Own': 2}
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_operators_of_forward_and_backward():
    x = torch.randn(64, 64, requires_grad=True)
    seconds = timed_operators(lambda: (x @ x).exp().sum().backward())
    assert {'aten::mm', 'aten::exp', 'aten::sum'} <= set(seconds)
    assert all(value >= 0 for value in seconds.values())
    assert len(costliest(seconds, 3)) == 3


def test_scans_of_a_training_step_have_their_own_names():
    u = torch.randn(1, 6, 8, requires_grad=True)
    rows = torch.randn(1, 1, 6, 2)
    index = torch.arange(6, dtype=torch.int32)[None]

    def step():
        cross_selective_scan(u, torch.randn(1, 1, 6, 8), -torch.ones(8, 2), rows, rows, index=index,
                             backend='torch').sum().backward()

    seconds = timed_operators(step)
    assert min(seconds['mmavs::cross_scan_torch_fwd'], seconds['mmavs::cross_scan_torch_bwd']) > 0
    assert not [name for name in seconds if name.startswith('GeneratedBackwardFor_') and name.endswith('_default')]
