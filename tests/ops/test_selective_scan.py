import pytest
import torch

from mmavs.ops import selective_scan
from tests.ops.scan_cases import assert_close, error, naive_selective, native_or_skip, with_gradients

NAMES = ('u', 'delta', 'A', 'B', 'C', 'D', 'z', 'delta_bias')
EXACT = dict(out=1e-12, grad=1e-11)


def make(batch=2, channels=8, length=65, groups=1, n=3, dtype=torch.float64, absent=(), seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    inputs = dict(u=normal(batch, channels, length), delta=normal(batch, channels, length),
                  A=-torch.exp(0.3 * normal(channels, n)), B=normal(batch, groups, n, length),
                  C=normal(batch, groups, n, length), D=normal(channels), z=normal(batch, channels, length),
                  delta_bias=normal(channels) - 3)
    return {name: None if name in absent else x.to(dtype) for name, x in inputs.items()}


def run(inputs, backend, softplus=True, **options):
    return selective_scan(*(inputs[name] for name in NAMES), delta_softplus=softplus, backend=backend, **options)


def compare(backend, inputs, dtype=torch.float64, bounds=EXACT, softplus=True):
    expected = with_gradients(lambda x: naive_selective(x, softplus)[0], inputs)
    lower = {name: None if x is None else x.to(dtype) for name, x in inputs.items()}
    assert_close(with_gradients(lambda x: run(x, backend, softplus), lower), expected, **bounds)


@pytest.mark.parametrize('length', [1, 2, 7, 63, 64, 65, 127])
def test_lengths(backend, length):
    compare(backend, make(length=length))


@pytest.mark.parametrize('groups', [1, 4, 8])
@pytest.mark.parametrize('n', [1, 4, 16])
def test_groups(backend, groups, n):
    compare(backend, make(groups=groups, n=n, channels=24))


@pytest.mark.parametrize('n', [2, 3, 8, 19, 256])
def test_state_sizes(backend, n):
    compare(backend, make(channels=5, length=40, n=n))


@pytest.mark.parametrize('absent', [('z',), ('D',), ('delta_bias',), ('z', 'D', 'delta_bias')])
def test_absent_inputs(backend, absent):
    compare(backend, make(absent=absent))


def test_given_step_sizes(backend):
    inputs = make(absent=('delta_bias',))
    inputs['delta'] = inputs['delta'].abs() * 0.1
    compare(backend, inputs, softplus=False)


def test_single_precision(backend):
    compare(backend, make(batch=1, length=1029, channels=20, n=16), torch.float32, dict(out=2e-6, grad=2e-5))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_in_single_out(backend, dtype):
    tokens = ('u', 'delta', 'B', 'C', 'z')
    inputs = make(channels=24, n=16)
    inputs.update({name: inputs[name].to(dtype).double() for name in tokens})
    expected, _ = naive_selective(inputs, True)
    lower = {name: x.to(dtype if name in tokens else torch.float32) for name, x in inputs.items()}
    out = run(lower, backend)
    assert out.dtype == torch.float32
    assert error(out, expected) < 2e-6


def test_last_state_and_its_missing_gradient(backend):
    inputs = {name: x.requires_grad_() for name, x in make(channels=20, groups=4).items()}
    out, state = run(inputs, backend, return_last_state=True)
    expected_out, expected_state = naive_selective(inputs, True)
    assert error(out.detach(), expected_out.detach()) < 1e-12
    assert state.shape == (2, 20, 3)
    assert error(state.detach(), expected_state.detach()) < 1e-12
    assert not state.requires_grad


@pytest.mark.parametrize('form', ['BnL', 'Dn', 'mixed'])
def test_forms_of_b_and_c(backend, form):
    inputs = make(channels=6)
    full = dict(inputs)
    if form == 'BnL':
        inputs.update(B=inputs['B'][:, 0], C=inputs['C'][:, 0])
    elif form == 'Dn':
        inputs.update(B=inputs['A'] * 2, C=inputs['A'] + 1)
        full.update({name: inputs[name][None, :, :, None].expand(2, -1, -1, 65) for name in 'BC'})
    else:
        inputs.update(B=inputs['A'] * 2)
        full.update(B=inputs['B'][None, :, :, None].expand(2, -1, -1, 65), C=inputs['C'].expand(-1, 6, -1, -1))
    expected = with_gradients(lambda x: naive_selective(x, True)[0], full)
    for i, (name, x) in enumerate(inputs.items(), 1):
        if name in 'BC':  # (B, G, n, L) -> the shape given
            wide = expected[i]
            expected[i] = wide.sum((0, 3)) if x.dim() == 2 else wide.sum(1, keepdim=x.dim() == 4)
    assert_close(with_gradients(lambda x: run(x, backend), inputs), expected, **EXACT)


def test_strided_inputs(backend):
    inputs = make(channels=20)
    expected = with_gradients(lambda x: naive_selective(x, True)[0], inputs)

    def channels_last(x):
        moved = {name: x[name].mT.contiguous().mT for name in ('u', 'delta', 'B', 'C', 'z')}
        return run({**x, **moved}, backend)

    assert_close(with_gradients(channels_last, inputs), expected, **EXACT)


def test_nothing_to_scan(backend):
    values = with_gradients(lambda x: run(x, backend), make(length=0))
    assert values[0].shape == (2, 8, 0)
    assert not values[3].any()
    assert not run(make(length=0), backend, return_last_state=True)[1].any()


def test_huge_steps_forget_everything(backend):
    inputs = make(dtype=torch.float32, absent=('z', 'delta_bias'))
    inputs['A'] -= 1  # exp(-1000) is no number above zero
    inputs['delta'] = torch.full_like(inputs['delta'], 1e3)
    values = with_gradients(lambda x: run(x, backend), inputs)
    assert all(x.isfinite().all() for x in values)
    memory = 1e3 * inputs['u'] * (inputs['B'] * inputs['C']).sum(2)
    assert error(values[0], (memory + inputs['u'] * inputs['D'][:, None]).double()) < 1e-5


def test_outputs_are_written_completely(backend):
    inputs = make(channels=20, groups=4, length=70)
    expected = with_gradients(lambda x: run(x, backend), inputs)
    # Every uninitialised tensor starts as NaN in this mode.
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.empty(3).isnan().all()
        values = with_gradients(lambda x: run(x, backend), inputs)
        assert run(inputs, backend, return_last_state=True)[1].isfinite().all()
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(x, y) for x, y in zip(values, expected, strict=True))


def test_autocast_keeps_the_recurrence_in_single_precision(backend):
    inputs = make(dtype=torch.float32)
    inputs.update({name: inputs[name].bfloat16() for name in ('B', 'z')})
    expected = run(inputs, backend)
    suffix = '_torch' if backend == 'torch' else ''
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = run(inputs, backend)
        direct = getattr(torch.ops.mmavs, f'selective_scan{suffix}_fwd')(
            *(inputs[name] for name in NAMES[:5]), inputs['D'].double(), inputs['delta_bias'], True, False)[0]
    assert out.dtype == direct.dtype == torch.float32
    assert torch.equal(out, expected)
    assert torch.equal(direct * torch.nn.functional.silu(inputs['z'].float()), expected)


def test_gradcheck(backend):
    inputs = [x.requires_grad_() for x in make(channels=4, length=6, groups=2, n=2).values()]
    assert torch.autograd.gradcheck(
        lambda *x: run(dict(zip(NAMES, x, strict=True)), backend), inputs)


def test_second_derivative_is_refused(backend):
    inputs = {name: x.requires_grad_() for name, x in make(length=5).items()}
    gradient, = torch.autograd.grad(run(inputs, backend).sum(), inputs['u'], create_graph=True)
    with pytest.raises(RuntimeError, match='no second derivative'):
        gradient.sum().backward()


def test_number_of_threads_changes_no_bit():
    native_or_skip()
    inputs = make(channels=72, groups=4, length=1100, dtype=torch.float32)
    results, threads = [], torch.get_num_threads()
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            results.append(with_gradients(lambda x: run(x, 'cpp'), inputs))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize(('change', 'exception', 'message'), [
    (dict(u=torch.ones(2, 8)), ValueError, r'^u of selective_scan must have shape \(B, D, L\), but got \(2, 8\)$'),
    (dict(delta=torch.ones(2, 8, 64)), ValueError, r'^delta of selective_scan must have shape \(2, 8, 65\), but got'),
    (dict(A=torch.ones(7, 3)), ValueError, r'^A of selective_scan must have shape \(8, 3\), but got \(7, 3\)$'),
    (dict(B=torch.ones(2, 3, 3, 65), C=torch.ones(2, 3, 3, 65)), ValueError, r'groups that divide the 8 channels of u'),
    (dict(B=torch.ones(4, 3), C=torch.ones(4, 3)), ValueError,
     r'^B of selective_scan must have shape .* or \(D, n\), but got \(4, 3\) with u of shape \(2, 8, 65\)$'),
    (dict(C=torch.ones(3)), ValueError, r'^C of selective_scan must have shape .*, but got \(3,\) with u of shape'),
    (dict(u=torch.ones(2), B=torch.ones(8, 3)), ValueError, r'^u of selective_scan must have shape \(B, D, L\), but'),
    (dict(C=torch.ones(2, 1, 4, 65)), ValueError, r'^C of selective_scan must have shape \(2, 1, 3, 65\), but got'),
    (dict(z=torch.ones(2, 8, 1)), ValueError, r'^z of selective_scan must have shape \(2, 8, 65\)'),
    (dict(D=torch.ones(1)), ValueError, r'^D of selective_scan must have shape \(8,\)'),
    (dict(A=torch.ones(8, 3, dtype=torch.complex64)), TypeError, r'^A of .* must be float64, .* is torch.complex64$'),
    (dict(u=torch.ones(2, 8, 65, device='meta')), ValueError, r'must be on meta like u, but is on cpu$'),
])
def test_errors(backend, change, exception, message):
    arguments = {**make(dtype=torch.float32), **change}
    with pytest.raises(exception, match=message):
        run(arguments, backend)
