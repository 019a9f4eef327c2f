import pytest
import torch

from mmavs.ops import cross_selective_scan
from tests.ops.scan_cases import (
    NAMES,
    assert_close,
    error,
    leaves,
    make_cross,
    naive_cross,
    native_or_skip,
    permutations,
    run_cross,
    with_gradients,
)

EXACT = dict(out=1e-12, grad=1e-11)
SINGLE = dict(out=2e-6, grad=2e-5)


def compare(backend, index, inputs, dtype=torch.float64, bounds=EXACT, softplus=True, **rows):
    expected = with_gradients(lambda x: naive_cross(x, index, softplus=softplus, **rows), inputs)
    lower = {name: None if x is None else x.to(dtype) for name, x in inputs.items()}
    values = with_gradients(lambda x: run_cross(x, index, backend, delta_softplus=softplus, **rows), lower)
    assert_close(values, expected, **bounds)


@pytest.mark.parametrize('length', [1, 2, 7, 63, 64, 65, 127])
def test_lengths(backend, length):
    compare(backend, permutations(2, length), make_cross(length=length))


@pytest.mark.parametrize('n', [1, 2, 3, 4, 8, 16])
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32])
def test_state_sizes(backend, n, dtype):
    bounds = EXACT if dtype == torch.float64 else SINGLE
    compare(backend, permutations(2, 70), make_cross(length=70, n=n, channels=19, rank=3), dtype, bounds)


@pytest.mark.parametrize('channels', [1, 8, 13, 16, 33, 70])
def test_channels_that_fill_no_vector(backend, channels):
    compare(backend, permutations(3, 67), make_cross(length=67, channels=channels, scans=3, rank=2))


@pytest.mark.parametrize(('D', 'bias', 'rank', 'softplus'), [
    (False, True, 0, True), (True, False, 4, True), (False, False, 1, True), (True, True, 0, False)])
def test_absent_inputs(backend, D, bias, rank, softplus):
    inputs = make_cross(D=D, bias=bias, rank=rank)
    if not softplus:
        inputs['delta'] = inputs['delta'].abs() * 0.1
        inputs['delta_bias'] = inputs['delta_bias'].abs() * 0.01
    compare(backend, permutations(2, 65), inputs, softplus=softplus)


@pytest.mark.parametrize(('y_start', 'y_len'), [(60, 5), (0, 3), (20, 30), (65, 0), (0, None), (64, None)])
def test_wanted_rows(backend, y_start, y_len):
    compare(backend, permutations(2, 65), make_cross(rank=2), y_start=y_start, y_len=y_len)


def test_rows_of_the_last_tokens_in_every_order(backend):
    # The audio tokens of V2A: many chunks without any wanted output come before.
    index = torch.cat([permutations(2, 300), torch.arange(300, 305).expand(2, -1).to(torch.int32)], 1)
    compare(backend, index, make_cross(length=305), y_start=300, y_len=5)


def test_long_sequence_in_single_precision(backend):
    inputs = make_cross(batch=1, length=1029, channels=16, scans=2, n=16, rank=4)
    compare(backend, permutations(2, 1029), inputs, torch.float32, SINGLE)


def test_more_than_a_slab_of_chunks(backend):
    if backend == 'torch':
        pytest.skip('slabs belong to the native backward pass')
    index, inputs = permutations(2, 2100), make_cross(batch=2, length=2100, channels=3, n=2, rank=2)
    expected = with_gradients(lambda x: run_cross(x, index, 'torch'), inputs)
    assert_close(with_gradients(lambda x: run_cross(x, index, backend), inputs), expected, **EXACT)


@pytest.fixture(scope='module')
def fifty_thousand_tokens():
    index = permutations(1, 50_000)
    inputs = make_cross(batch=1, length=50_000, channels=4, scans=1, n=8)
    return index, inputs, with_gradients(lambda x: run_cross(x, index, 'torch'), inputs)


def test_fifty_thousand_tokens_in_single_precision(backend, fifty_thousand_tokens):
    index, inputs, expected = fifty_thousand_tokens
    single = {name: None if x is None else x.float() for name, x in inputs.items()}
    assert_close(with_gradients(lambda x: run_cross(x, index, backend), single), expected, **SINGLE)


def test_strided_inputs(backend):
    index, inputs = permutations(2, 65), make_cross(rank=4)
    expected = with_gradients(lambda x: naive_cross(x, index), inputs)

    def strided(x):
        # What the model gives: slices of one projection (B, L, K, R + 2n), and tokens that are part of a wider tensor.
        projection = torch.cat([x['delta'], x['Bm'], x['Cm']], 3).permute(0, 2, 1, 3).contiguous().permute(0, 2, 1, 3)
        delta, Bm, Cm = projection.split([4, 3, 3], 3)
        u = torch.cat([x['u'], x['u'] * 2], 2)[..., :5]
        assert not u.is_contiguous()
        assert not Bm.is_contiguous()
        return run_cross({**x, 'u': u, 'delta': delta, 'Bm': Bm, 'Cm': Cm}, index, backend)

    assert_close(with_gradients(strided, inputs), expected, **EXACT)

    def transposed(x):
        flipped = {name: x[name].mT.contiguous().mT for name in ('u', 'delta', 'Bm', 'Cm')}
        return run_cross({**x, **flipped}, index, backend)

    assert_close(with_gradients(transposed, inputs), expected, **EXACT)


@pytest.mark.parametrize('shape', [dict(length=0), dict(batch=0)])
def test_nothing_to_scan(backend, shape):
    inputs = make_cross(**shape)
    values = with_gradients(lambda x: run_cross(x, permutations(2, inputs['u'].shape[1]), backend), inputs)
    assert values[0].shape == inputs['u'].shape
    for value, x in zip(values[1:], (x for x in inputs.values() if x is not None), strict=True):
        assert value.shape == x.shape
        assert not value.any()


def test_huge_steps_forget_everything(backend):
    # exp(-1000) is no number above zero: the state is delta B u alone, and y = C B delta u + D u.
    inputs = {name: None if x is None else x.float() for name, x in make_cross().items()}
    inputs['delta'] = torch.full_like(inputs['delta'], 1e3)
    inputs['delta_bias'] = None
    values = with_gradients(lambda x: run_cross(x, permutations(2, 65), backend), inputs)
    assert all(x.isfinite().all() for x in values)
    memory = 1e3 * torch.einsum('bkln,bkln,blc->blc', inputs['Bm'], inputs['Cm'], inputs['u'])
    expected = memory + inputs['u'] * inputs['D'].view(2, 5).sum(0)
    assert error(values[0], expected.double()) < 1e-5


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_in_single_out(backend, dtype):
    index, inputs = permutations(2, 129), make_cross(length=129, channels=24, n=16, rank=4)
    for name in ('u', 'delta', 'Bm', 'Cm'):
        inputs[name] = inputs[name].to(dtype).double()
    expected = with_gradients(lambda x: naive_cross(x, index), inputs)
    lower = {name: x.to(dtype if name in ('u', 'delta', 'Bm', 'Cm') else torch.float32) for name, x in inputs.items()}
    out = run_cross(lower, index, backend)
    assert out.dtype == torch.float32
    values = with_gradients(lambda x: run_cross(x, index, backend), lower)
    # Gradients of half tokens are themselves half.
    assert_close(values, expected, out=2e-6, grad=torch.finfo(dtype).eps)


def test_gradcheck(backend):
    inputs = leaves(make_cross(batch=2, length=9, channels=2, scans=2, n=2, rank=2))
    index = permutations(2, 9)
    assert torch.autograd.gradcheck(
        lambda *x: run_cross(dict(zip(NAMES, x, strict=True)), index, backend, y_start=1, y_len=7),
        [inputs[name] for name in NAMES])


def test_second_derivative_is_refused(backend):
    inputs = leaves(make_cross(length=5))
    out = run_cross(inputs, permutations(2, 5), backend)
    gradient, = torch.autograd.grad(out.sum(), inputs['u'], create_graph=True)
    with pytest.raises(RuntimeError, match='no second derivative'):
        gradient.sum().backward()


def test_equals_copies_scan_merge(backend):
    from mmavs.ops import selective_scan
    from mmavs.ops.mamba_backend import copies_scan_merge
    index, inputs = permutations(3, 80), make_cross(length=80, scans=3, rank=2)

    def scan(u, delta, A, Bm, Cm, D, delta_bias, softplus):
        return selective_scan(u, delta, A, Bm, Cm, D, None, delta_bias, softplus, backend=backend)

    def merged(x):
        arguments = [x[name] for name in NAMES[:7]]
        return copies_scan_merge(scan, *arguments, index, x['dt_weight'], True, 10, 50)

    expected = with_gradients(merged, inputs)
    values = with_gradients(lambda x: run_cross(x, index, backend, y_start=10, y_len=50), inputs)
    assert_close(values, expected, **EXACT)


def test_outputs_are_written_completely(backend):
    # Every uninitialised tensor starts as NaN in this mode.
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.empty(3).isnan().all()
        for options in (dict(), dict(y_start=60, y_len=5)):
            inputs = make_cross(channels=9, rank=2)
            values = with_gradients(lambda x, o=options: run_cross(x, permutations(2, 65), backend, **o), inputs)
            assert all(x.isfinite().all() for x in values)
    finally:
        torch.use_deterministic_algorithms(False)


def test_number_of_threads_changes_no_bit():
    native_or_skip()
    # 300 channels of one sequence: two tasks of the CPU kernel for up to two threads, five from four threads on.
    index = permutations(2, 1500)
    inputs = {name: x.float() for name, x in make_cross(1, length=1500, channels=300, scans=2, n=4, rank=3).items()}
    results, threads = [], torch.get_num_threads()
    try:
        for number in (1, 2, 3, 8):
            torch.set_num_threads(number)
            results.append(with_gradients(lambda x: run_cross(x, index, 'cpp'), inputs))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_no_states_are_kept_without_gradients(backend):
    suffix = '_torch' if backend == 'torch' else ''
    op = getattr(torch.ops.mmavs, f'cross_scan{suffix}_fwd')
    x = make_cross(length=130)
    arguments = [x[name] for name in NAMES[:7]]
    assert op(*arguments, permutations(2, 130), None, True, 0, 130, False)[1].shape == (0,)
    assert op(*arguments, permutations(2, 130), None, True, 0, 130, True)[1].shape == (2, 2, 3, 3, 5)
    arguments[0].requires_grad_()
    with pytest.raises(RuntimeError, match='save_states=True'):
        op(*arguments, permutations(2, 130), None, True, 0, 130, False)[0].sum().backward()


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_autocast_keeps_the_recurrence_in_single_precision(backend, dtype):
    index, inputs = permutations(2, 65), {name: x.float() for name, x in make_cross(rank=2).items()}
    inputs['Bm'] = inputs['Bm'].to(dtype)
    expected = run_cross(inputs, index, backend)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = run_cross(inputs, index, backend)
        op = getattr(torch.ops.mmavs, 'cross_scan_torch_fwd' if backend == 'torch' else 'cross_scan_fwd')
        direct = op(*(inputs[name] for name in NAMES[:7]), index, inputs['dt_weight'].bfloat16(), True, 0, 65, False)[0]
    assert out.dtype == direct.dtype == torch.float32
    assert torch.equal(out, expected)
    rounded = {**inputs, 'dt_weight': inputs['dt_weight'].bfloat16().float()}
    assert torch.equal(direct, run_cross(rounded, index, backend))


@pytest.mark.parametrize(('change', 'exception', 'message'), [
    (dict(u=torch.ones(2, 65)), ValueError, r'^u of cross_selective_scan must have shape \(B, L, C\), but got'),
    (dict(delta=torch.ones(2, 2, 65, 4)), ValueError, r'^delta of .* must have shape \(2, 2, 65, 5\), but got'),
    (dict(A=-torch.ones(9, 3)), ValueError, r'^A of .* must have shape \(10, 3\), but got \(9, 3\)$'),
    (dict(Bm=torch.ones(2, 2, 65, 2)), ValueError, r'^Bm of .* must have shape \(2, 2, 65, 3\)'),
    (dict(Cm=torch.ones(2, 1, 65, 3)), ValueError, r'^Cm of .* must have shape \(2, 2, 65, 3\)'),
    (dict(D=torch.ones(5)), ValueError, r'^D of .* must have shape \(10,\), but got \(5,\)$'),
    (dict(delta_bias=torch.ones(2, 5)), ValueError, r'^delta_bias of .* must have shape \(10,\)'),
    (dict(dt_weight=torch.ones(2, 4, 5)), ValueError, r'^dt_weight of .* must have shape \(2, 5, 5\)'),
    (dict(u=torch.ones(2, 65, 5, dtype=torch.int64)), TypeError, r'^u of .* must be float64, .* but is torch.int64$'),
    (dict(index=permutations(2, 65).long()), TypeError, r'^index of .* must be int32, but is torch.int64$'),
    (dict(index=permutations(2, 64)), ValueError, r'^index of .* must have shape \(2, 65\), but got \(2, 64\)$'),
    (dict(index=permutations(2, 65) + 1), ValueError, r'positions 0\.\.\.64 once, but one leaves the range'),
    (dict(index=torch.zeros(2, 65, dtype=torch.int32)), ValueError, r'visits a position twice$'),
    (dict(u=torch.ones(2, 65, 5, device='meta')), ValueError, r'^delta of .* must be on meta like u, but is on cpu$'),
    (dict(y_start=60, y_len=6), ValueError, r'^y_start and y_len of .* must lie within the 65 tokens, but got 60'),
    (dict(y_start=-1), ValueError, r'must lie within the 65 tokens, but got -1'),
])
def test_errors(backend, change, exception, message):
    arguments = {name: None if x is None else x.float() for name, x in make_cross().items()}
    arguments.update(index=permutations(2, 65), backend=backend)
    arguments.update(change)
    with pytest.raises(exception, match=message):
        cross_selective_scan(**arguments)
