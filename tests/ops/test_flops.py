import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mmavs.ops import selective_scan
from mmavs.ops.flops import scan_backward_flops, scan_flops
from tests.ops.scan_cases import native_or_skip


@pytest.mark.parametrize('count', [scan_flops, scan_backward_flops])
def test_work_grows_with_each_size(count):
    one = count(1, 1, 1)
    assert count(7, 5, 1) == 35 * one
    # What a state costs does not depend on how many there are, nor on the rank.
    assert count(1, 1, 9) - count(1, 1, 8) == count(1, 1, 2) - one
    assert count(3, 2, 4, rank=5) - count(3, 2, 4) == 5 * (count(3, 2, 4, rank=1) - count(3, 2, 4))


@pytest.mark.parametrize('backend', ['torch', 'cpp'])
def test_backward_of_the_plain_scan_is_counted(backend):
    if backend == 'cpp':
        native_or_skip()
    u, B = torch.randn(2, 4, 6, requires_grad=True), torch.randn(2, 1, 3, 6)
    with FlopCounterMode(display=False) as counter:
        selective_scan(u, u, -torch.rand(4, 3), B, B, backend=backend).sum().backward()
    assert counter.get_total_flops() == scan_flops(12, 4, 3) + scan_backward_flops(12, 4, 3)
