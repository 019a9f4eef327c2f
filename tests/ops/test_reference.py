import pytest
import torch

from mmavs.ops.reference import CHUNK, accumulate_dtype, scan_forward
from tests.ops.scan_cases import make_cross, permutations


@pytest.mark.parametrize(('tokens', 'sums'), [
    (torch.float64, torch.float64), (torch.float32, torch.float32), (torch.bfloat16, torch.float32),
    (torch.float16, torch.float32)])
def test_dtype_of_the_sums(tokens, sums):
    assert accumulate_dtype(tokens) == sums


def scan(inputs, length, index=None, shared=False, save_states=True):
    """The first tokens, each scan on its own copy of them or all on one."""
    u = inputs['u'][:, None, :length]
    rows = [inputs[name][:, :, :length] for name in ('delta', 'Bm', 'Cm')]
    scans = inputs['delta'].shape[1]
    return scan_forward(u if shared else u.expand(-1, scans, -1, -1), rows[0], inputs['A'], *rows[1:], inputs['D'],
                        inputs['delta_bias'], index, None, True, save_states)


def test_states_before_each_chunk_are_the_last_ones_of_what_came_before():
    inputs = make_cross(length=2 * CHUNK + 3)
    _, last, states = scan(inputs, 2 * CHUNK + 3)
    assert states.shape == (2, 2, 3, 3, 5)  # B, K, chunks, n, C
    assert torch.equal(states[:, :, 0], torch.zeros_like(last))
    for i in (1, 2):
        assert torch.equal(states[:, :, i], scan(inputs, i * CHUNK)[1])


def test_first_token_by_hand():
    inputs = make_cross(batch=1, length=1, channels=1, scans=1, n=1)
    out, last, _ = scan(inputs, 1)
    step = torch.log1p(torch.exp(inputs['delta'] + inputs['delta_bias'])).item()
    state = step * inputs['u'].item() * inputs['Bm'].item()
    assert last.item() == pytest.approx(state, rel=1e-12)
    assert out.item() == pytest.approx(inputs['Cm'].item() * state + inputs['D'].item() * inputs['u'].item(), rel=1e-12)


def test_scans_that_share_their_tokens_are_summed():
    inputs, index = make_cross(length=70, scans=3), permutations(3, 70)
    apart, last, _ = scan(inputs, 70, index)
    together, same_last, _ = scan(inputs, 70, index, shared=True)
    assert together.shape == (2, 1, 70, 5)
    torch.testing.assert_close(together[:, 0], apart.sum(1))
    assert torch.equal(last, same_last)


def test_no_states_are_kept_unless_wanted():
    inputs = make_cross(length=70)
    with_states, without = scan(inputs, 70), scan(inputs, 70, save_states=False)
    assert without[2].numel() == 0
    assert torch.equal(with_states[0], without[0])
