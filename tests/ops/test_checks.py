import pytest
import torch

from mmavs.ops.checks import check_cross_scan, check_selective_scan, needs_gradient, same_dtype
from tests.ops.scan_cases import NAMES, make_cross, permutations


@pytest.mark.parametrize(('given', 'common'), [
    ((torch.bfloat16, torch.float32), torch.float32), ((torch.bfloat16, torch.float16), torch.float32),
    ((torch.float32, torch.float64), torch.float64), ((torch.float16, torch.float16), torch.float16)])
def test_same_dtype(given, common):
    tokens = [torch.full((2,), 1.5, dtype=dtype) for dtype in given]
    made = same_dtype(*tokens)
    assert [x.dtype for x in made] == [common, common]
    assert all(x.tolist() == [1.5, 1.5] for x in made)
    # Nothing is copied that has the dtype already.
    assert all((new is old) == (old.dtype == common) for new, old in zip(made, tokens, strict=True))


def test_needs_gradient():
    weight, plain = torch.ones(1, requires_grad=True), torch.ones(1)
    assert needs_gradient(plain, None, weight)
    assert not needs_gradient(plain, None)
    with torch.no_grad():
        assert not needs_gradient(weight)


def cross_arguments(**change):
    inputs = {**make_cross(batch=1, length=4, channels=2, n=1), 'index': permutations(2, 4), **change}
    return [*(inputs[name] for name in NAMES[:7]), inputs['index'], inputs['dt_weight'], 0, 4]


def test_a_scan_needs_orders_and_states():
    check_cross_scan(*cross_arguments())
    none = dict(index=torch.zeros(0, 4, dtype=torch.int32), A=torch.ones(0, 1), delta=torch.ones(1, 0, 4, 2),
                Bm=torch.ones(1, 0, 4, 1), Cm=torch.ones(1, 0, 4, 1), D=None, delta_bias=None)
    with pytest.raises(ValueError, match=r'at least one order and one state, but got index \(0, 4\) and A \(0, 1\)$'):
        check_cross_scan(*cross_arguments(**none))
    no_states = dict(A=torch.ones(4, 0), Bm=torch.ones(1, 2, 4, 0), Cm=torch.ones(1, 2, 4, 0))
    with pytest.raises(ValueError, match=r'at least one order and one state, but got index \(2, 4\) and A \(4, 0\)$'):
        check_cross_scan(*cross_arguments(**no_states))


def test_the_index_is_where_the_tokens_are():
    with pytest.raises(ValueError, match=r'^index of cross_selective_scan must be on cpu like u, but is on meta$'):
        check_cross_scan(*cross_arguments(index=torch.zeros(2, 4, dtype=torch.int32, device='meta')))


@pytest.mark.parametrize(('groups', 'states'), [(0, 1), (1, 0)])
def test_a_selective_scan_needs_groups_and_states(groups, states):
    tokens, rows = torch.ones(1, 2, 3), torch.ones(1, groups, states, 3)
    with pytest.raises(ValueError, match=rf'the 2 channels of u, but got {states} states and {groups} groups$'):
        check_selective_scan(tokens, tokens, torch.ones(2, states), rows, rows, None, None, None)
