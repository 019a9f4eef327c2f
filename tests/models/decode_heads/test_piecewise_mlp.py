"""The evaluation by pieces against the plain network: value and every gradient."""

import pytest
import torch
from torch import nn

from mmavs.models.decode_heads.piecewise_mlp import piecewise_mlp


def make_layers(hidden=96, channels=7, dtype=torch.float64, scale=1.):
    layers = [nn.Linear(1, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, channels)]
    for layer in layers:
        layer.to(dtype)
        # Trained networks have larger weights, so more pieces.
        layer.weight.data *= scale
    return layers


def plain(m, fc1, fc2, fc3):
    return fc3(fc2(fc1(m[:, None]).relu()).relu())


def value_and_gradients(function, m, layers, weights):
    m = m.clone().requires_grad_()
    parameters = [p for layer in layers for p in layer.parameters()]
    value = function(m, *layers)
    return [value.detach(), *torch.autograd.grad((value * weights).sum(), [m, *parameters])]


@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
@pytest.mark.parametrize('scale', [1., 4.])
@pytest.mark.parametrize('spread', [0.05, 2., 300.])
def test_value_and_gradients_equal_plain(dtype, tolerance, scale, spread):
    torch.manual_seed(0)
    layers = make_layers(dtype=dtype, scale=scale)
    m, weights = torch.randn(3000, dtype=dtype) * spread, torch.randn(3000, 7, dtype=dtype)
    fast = value_and_gradients(piecewise_mlp, m, layers, weights)
    slow = value_and_gradients(plain, m, layers, weights)
    for name, a, b in zip(('value', 'm', 'w1', 'b1', 'w2', 'b2', 'w3', 'b3'), fast, slow, strict=True):
        # In float32 a pixel within rounding of a kink may take the slope of the other side.
        error = (a - b).abs().flatten()
        limit = tolerance * b.abs().max()
        if name == 'm' and dtype == torch.float32:
            assert (error > limit).float().mean() < 2e-3, name
        else:
            assert error.max() <= limit * (50 if dtype == torch.float32 and name != 'value' else 1), name


def test_pixels_on_the_kinks():
    torch.manual_seed(1)
    layers = make_layers()
    kinks = (-layers[0].bias / layers[0].weight[:, 0]).detach()
    torch.testing.assert_close(piecewise_mlp(kinks, *layers), plain(kinks, *layers), rtol=0, atol=1e-12)


def test_more_kinks_than_the_first_layer_has_are_found():
    # f(m) = relu(|m| - 1): the kinks at +-1 belong to the second layer.
    layers = [nn.Linear(1, 2), nn.Linear(2, 2), nn.Linear(2, 1)]
    weights, biases = ([[1.], [-1.]], [[1., 1.], [0., 0.]], [[1., 0.]]), ([0., 0.], [-1., -1.], [0.])
    for layer, weight, bias in zip(layers, weights, biases, strict=True):
        layer.weight.data, layer.bias.data = torch.tensor(weight), torch.tensor(bias)
    m = torch.tensor([-3., -1.25, -0.5, 0., 0.75, 1., 1.5, 4.], requires_grad=True)
    value = piecewise_mlp(m, *layers)
    assert value[:, 0].tolist() == [2., 0.25, 0., 0., 0., 0., 0.5, 3.]
    gradient, = torch.autograd.grad(value.sum(), m)
    assert gradient[[0, 1, 2, 4, 6, 7]].tolist() == [-1., -1., 0., 0., 1., 1.]


def test_constant_units_and_a_network_without_kinks():
    layers = make_layers(hidden=4)
    layers[0].weight.data.zero_()
    m = torch.randn(10, dtype=torch.float64)
    torch.testing.assert_close(piecewise_mlp(m, *layers), plain(m, *layers), rtol=0, atol=1e-14)
    layers[0].weight.data[2] = 1.5
    torch.testing.assert_close(piecewise_mlp(m, *layers), plain(m, *layers), rtol=0, atol=1e-14)


def test_equal_pixels_and_a_single_pixel():
    torch.manual_seed(2)
    layers = make_layers()
    for m in (torch.full((9,), 0.3, dtype=torch.float64), torch.tensor([0.3], dtype=torch.float64)):
        torch.testing.assert_close(piecewise_mlp(m, *layers), plain(m, *layers), rtol=0, atol=1e-13)


def test_a_pixel_does_not_depend_on_the_others():
    torch.manual_seed(3)
    layers, m = make_layers(dtype=torch.float32), torch.randn(2000)
    together = piecewise_mlp(m, *layers)
    torch.testing.assert_close(together[:300], piecewise_mlp(m[:300], *layers), rtol=0, atol=1e-6)


def test_gives_up_beyond_the_limit():
    torch.manual_seed(4)
    layers, m = make_layers(), torch.randn(500, dtype=torch.float64)
    assert piecewise_mlp(m, *layers, max_pieces=5) is None
    assert piecewise_mlp(m, *layers, max_pieces=97) is not None


def test_float32_inside_bfloat16_autocast():
    torch.manual_seed(5)
    layers, m = make_layers(dtype=torch.float32), torch.randn(500)
    with torch.autocast('cpu', torch.bfloat16):
        low = piecewise_mlp(m, *layers)
    assert torch.equal(low, piecewise_mlp(m, *layers))


def test_gradients_are_the_same_bit_for_bit_in_every_run():
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        torch.manual_seed(0)
        layers = make_layers(hidden=64, channels=64, dtype=torch.float32)
        m, weights = torch.randn(20_000), torch.randn(20_000, 64)
        runs = [value_and_gradients(piecewise_mlp, m, layers, weights) for _ in range(4)]
    finally:
        torch.set_num_threads(threads)
    for run in runs[1:]:
        assert all(torch.equal(one, other) for one, other in zip(runs[0], run, strict=True))
