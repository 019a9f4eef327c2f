import torch

from mmavs.ops import torch_ops
from tests.ops.scan_cases import NAMES, make_cross, permutations


def cross_inputs(length=70):
    inputs = make_cross(length=length, rank=2)
    return [inputs[name] for name in NAMES[:7]] + [permutations(2, length), inputs['dt_weight']]


def test_channels_of_a_group_lie_together():
    x = torch.arange(12.0).view(1, 6, 2)
    grouped = torch_ops._group_rows(x, 3)
    assert grouped.shape == (1, 3, 2, 2)
    # Group 1 has channels 2 and 3; token 1 of them are the values 5 and 7.
    assert grouped[0, 1, 1].tolist() == [5.0, 7.0]
    assert torch.equal(torch_ops._ungroup_rows(grouped), x)


def test_wanted_rows_let_go_of_the_others():
    whole, _ = torch.ops.mmavs.cross_scan_torch_fwd(*cross_inputs(), True, 0, 70, False)
    part, _ = torch.ops.mmavs.cross_scan_torch_fwd(*cross_inputs(), True, 60, 10, False)
    assert torch.equal(part, whole[:, 60:])
    assert part.untyped_storage().nbytes() == part.numel() * part.element_size()


def test_rows_that_were_not_wanted_have_no_gradient_to_give():
    arguments = cross_inputs()
    _, states = torch.ops.mmavs.cross_scan_torch_fwd(*arguments, True, 60, 10, True)
    part = torch.randn(2, 10, 5, dtype=torch.float64)
    padded = torch.cat([torch.zeros(2, 60, 5, dtype=torch.float64), part], 1)
    by_part = torch.ops.mmavs.cross_scan_torch_bwd(part, *arguments, states, True, 60)
    by_whole = torch.ops.mmavs.cross_scan_torch_bwd(padded, *arguments, states, True, 0)
    assert len(by_part) == 8
    assert all(torch.equal(a, b) for a, b in zip(by_part, by_whole, strict=True))
    assert all(gradient.abs().sum() > 0 for gradient in by_part)
