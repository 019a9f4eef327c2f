"""The CUDA kernels, compiled for the CPU, against a float64 reference: output and every gradient.

Letters: B clips, K orders, L tokens, C channels, N states, R rank of the low-rank delta.
"""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from mmavs.ops.schemas import states_shape

from .cuda_emulation.scan import EmulatedScan, build, find_compiler

pytestmark = pytest.mark.skipif(find_compiler() is None, reason='no C++ compiler')


@pytest.fixture(scope='module')
def library(tmp_path_factory):
    return build(tmp_path_factory.mktemp('emulation'))


def make_inputs(batch, orders, length, channels, states, *, rank=0, dtype=torch.float32, full=True, seed=0):
    """Random problem; A in [-1, -0.018] remembers from one token to hundreds, index rows are random permutations."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    rows = orders * channels
    precise = torch.float64 if dtype == torch.float64 else torch.float32
    # B, C and delta's factor are strided views, as slices of one projection are.
    tokens = normal(batch, length, orders, 2 * states + max(rank, 1)).to(dtype).permute(0, 2, 1, 3)
    inputs = dict(u=normal(batch, length, channels).to(dtype),
                  delta=tokens[..., :rank] if rank else normal(batch, orders, length, channels).to(dtype),
                  A=-torch.rand(rows, states, generator=generator, dtype=torch.float64).mul(4).sub(4).exp().to(precise),
                  Bm=tokens[..., -2 * states:-states], Cm=tokens[..., -states:])
    if rank:
        inputs['dt_weight'] = normal(orders, channels, rank).mul(rank ** -0.5).to(precise)
    if full:
        inputs['D'] = normal(rows).to(precise)
        inputs['delta_bias'] = (normal(rows) - 1).to(precise)
        inputs['index'] = torch.stack([torch.randperm(length, generator=generator) for _ in range(orders)]).int()
    return inputs


def reference(inputs, *, softplus=True, y_start=0, y_length=None, merge=True):
    """Output and last state in float64, token by token, and the float64 leaves to differentiate by."""
    x = {name: value.double().requires_grad_() if value.is_floating_point() else value.long()
         for name, value in inputs.items()}
    batch, orders, length, states = x['Bm'].shape
    channels = x['u'].shape[-1]
    index = x.get('index', torch.arange(length).expand(orders, length))
    u = x['u'][:, None].expand(-1, orders, -1, -1) if merge else x['u']
    delta = x['delta']
    if 'dt_weight' in x:
        delta = torch.einsum('bklr,kcr->bklc', delta, x['dt_weight'])
    if 'delta_bias' in x:
        delta = delta + x['delta_bias'].view(orders, 1, channels)
    if softplus:
        delta = F.softplus(delta)
    D = x['D'].view(orders, 1, channels) if 'D' in x else 0
    A = x['A'].view(orders, channels, states)
    every = torch.arange(orders)
    h = torch.zeros(batch, orders, channels, states, dtype=torch.float64)
    rows = [None] * length
    for i in range(length):
        at = index[:, i]
        d, token = delta[:, every, at], u[:, every, at]
        h = torch.exp(d[..., None] * A) * h + (d * token)[..., None] * x['Bm'][:, every, at][:, :, None]
        rows[i] = (h * x['Cm'][:, every, at][:, :, None]).sum(-1)
    place = index.argsort(1)
    y = torch.stack(rows, 2)[:, every[:, None], place] + D * u
    y = y[:, :, y_start:None if y_length is None else y_start + y_length]
    return (y.sum(1) if merge else y.transpose(0, 1)), h, x


def largest_error(value, expected):
    """Largest error over the largest value."""
    assert value.shape == expected.shape
    return ((value - expected).abs().max() / expected.abs().max().clamp_min(1e-30)).item()


def check(library, inputs, *, resident=4, out_tolerance=2e-6, grad_tolerance=2e-5, **options):
    """Output, last state and every gradient; NaN from what is not written fails the comparison."""
    library.emulated_device(resident, 0)
    scan = EmulatedScan(library, inputs, **options)
    out, last = scan.forward()
    expected, expected_last, leaves = reference(inputs, **options)
    assert largest_error(out, expected) < out_tolerance
    assert largest_error(last, expected_last) < out_tolerance
    dout = torch.randn(expected.shape, generator=torch.Generator().manual_seed(7), dtype=scan.dtype)
    expected.backward(dout.double())
    grads = scan.backward(dout if scan.merge else dout.transpose(0, 1).contiguous())
    for name, grad in grads.items():
        wanted = leaves[name].grad if scan.merge or name != 'u' else leaves[name].grad.transpose(0, 1)
        assert largest_error(grad, wanted) < grad_tolerance, name
    return out, grads


@pytest.mark.parametrize('states', [1, 2, 3, 4, 8, 16])
def test_states(library, states):
    check(library, make_inputs(2, 2, 37, 9, states, rank=3))


@pytest.mark.parametrize('states', [1, 8, 9, 16, 17, 256])
def test_states_are_saved_where_tracing_expects_them(library, states):
    u = SimpleNamespace(device=SimpleNamespace(type='cuda'))
    interval = library.emulated_interval(states)
    for length in (0, 1, interval, interval + 1, 1000):
        assert states_shape(u, 1, 2, length, states, 3, True, '') == (1, 2, -(-length // interval), states, 3)


@pytest.mark.parametrize('length', [1, 15, 16, 17, 32, 33])
def test_tile_borders(library, length):
    check(library, make_inputs(1, 2, length, 5, 4))
    check(library, make_inputs(1, 1, length, 5, 16, rank=1))


@pytest.mark.parametrize(('states', 'resident'), [(1, 8), (16, 12)])
def test_segments_joined_by_the_carry(library, states, resident):
    """A larger device cuts the orders into segments; the result is that of one walk."""
    inputs = make_inputs(1, 2, 389 if states == 16 else 203, 6, states, rank=4)
    parts = check(library, inputs, resident=resident)
    whole = check(library, inputs, resident=1)
    assert not torch.equal(parts[0], whole[0]), 'the orders were not cut'
    assert largest_error(parts[0], whole[0]) < 1e-6


def test_eight_orders_many_channels(library):
    check(library, make_inputs(1, 8, 34, 70, 16, rank=16))


def test_more_channels_than_a_block_of_short_states(library):
    check(library, make_inputs(1, 1, 18, 131, 2, rank=5))


def test_state_blocks(library):
    """More than 16 states run as several blocks whose outputs and gradients add up."""
    check(library, make_inputs(1, 2, 35, 4, 19), resident=1)
    check(library, make_inputs(1, 2, 35, 4, 33, rank=2), resident=1)


def test_plain_inputs(library):
    """No D, bias or index, delta as it is."""
    inputs = make_inputs(2, 1, 21, 3, 4, full=False)
    inputs['delta'] = inputs['delta'].abs()
    check(library, inputs, softplus=False)


@pytest.mark.parametrize(('start', 'length'), [(0, 5), (60, 5), (20, 30), (64, 1)])
def test_wanted_rows_only(library, start, length):
    check(library, make_inputs(2, 2, 65, 7, 16, rank=4), y_start=start, y_length=length)


def test_groups_are_not_summed(library):
    """selective_scan runs its groups as orders with channels of their own."""
    inputs = make_inputs(2, 3, 19, 5, 8)
    inputs['u'] = torch.randn(2, 3, 19, 5, generator=torch.Generator().manual_seed(3))
    check(library, inputs, merge=False)
    inputs = make_inputs(1, 2, 19, 5, 18)
    inputs['u'] = torch.randn(1, 2, 19, 5, generator=torch.Generator().manual_seed(4))
    check(library, inputs, merge=False)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_sixteen_bit_inputs(library, dtype):
    """Only the inputs are rounded: state, output and gradients are those of float32."""
    check(library, make_inputs(1, 2, 20, 6, 16, rank=4, dtype=dtype))
    check(library, make_inputs(1, 2, 20, 6, 1, dtype=dtype))


@pytest.mark.parametrize('states', [1, 4, 16])
def test_double(library, states):
    check(library, make_inputs(1, 2, 40, 5, states, rank=3, dtype=torch.float64), out_tolerance=1e-14,
          grad_tolerance=1e-13)


def test_huge_steps(library):
    """Steps of 1e4 forget the past at once and must not give NaN or infinity."""
    inputs = make_inputs(1, 2, 33, 4, 16)
    inputs['delta'][:, :, ::5] = 1e4
    check(library, inputs)
