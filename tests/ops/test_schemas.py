import warnings

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mmavs.ops import cross_selective_scan, selective_scan
from mmavs.ops.flops import scan_backward_flops, scan_flops
from mmavs.ops.schemas import SCHEMAS
from tests.ops.scan_cases import (
    NAMES,
    leaves,
    make_cross,
    native_or_skip,
    permutations,
    run_cross,
    skip_absent_isa,
    with_gradients,
)


@pytest.fixture(params=['torch', 'cpp'])
def kind(request):
    if request.param == 'cpp':
        native_or_skip()
    return request.param


def op_of(kind, name):
    return getattr(torch.ops.mmavs, f'{name[:-4]}_torch{name[-4:]}' if kind == 'torch' else name)


def selective_inputs(length=6):
    torch.manual_seed(0)
    x = [torch.randn(2, 4, length), torch.randn(2, 4, length), -torch.rand(4, 3), torch.randn(2, 2, 3, length),
         torch.randn(2, 2, 3, length), torch.randn(4), torch.randn(4)]
    return [t.double() for t in x]


def check(op, arguments):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        result = torch.library.opcheck(op.default, arguments)
    assert set(result.values()) == {'SUCCESS'}, result


@pytest.mark.parametrize('rank', [0, 2])
def test_opcheck_cross_scan(kind, rank):
    inputs = leaves(make_cross(length=70, channels=4, rank=rank))
    arguments = [inputs[name] for name in NAMES[:7]] + [permutations(2, 70), inputs['dt_weight'], True]
    check(op_of(kind, 'cross_scan_fwd'), (*arguments, 3, 60, True))
    plain = [x.detach() if isinstance(x, torch.Tensor) else x for x in arguments]
    out, states = op_of(kind, 'cross_scan_fwd')(*plain, 3, 60, True)
    check(op_of(kind, 'cross_scan_bwd'), (torch.ones_like(out), *plain[:9], states, True, 3))


def test_opcheck_selective_scan(kind):
    inputs = selective_inputs(70)
    check(op_of(kind, 'selective_scan_fwd'), (*(x.requires_grad_() for x in inputs), True, True))
    inputs = [x.detach() for x in inputs]
    out, _, states = op_of(kind, 'selective_scan_fwd')(*inputs, True, True)
    check(op_of(kind, 'selective_scan_bwd'), (torch.ones_like(out), *inputs, states, True))


def test_opcheck_exponential():
    native_or_skip()
    check(torch.ops.mmavs.scan_exp2, (torch.linspace(-3, 0, 2048), 1))


@pytest.mark.parametrize('number', range(4))
def test_the_library_has_the_schemas_of_the_rules(kind, number):
    wanted = torch._C.parse_schema('mmavs::' + SCHEMAS[number].format(s='_torch' if kind == 'torch' else ''))
    assert torch._C._get_schema(wanted.name, '') == wanted


def test_compile_without_graph_breaks(kind):
    index, inputs = permutations(2, 20), make_cross(length=20, rank=2)

    def block(x):
        gate = selective_scan(x['u'].mT, x['u'].mT, x['A'][:5], x['Bm'].mT[:, :1], x['Cm'].mT[:, :1], backend=kind)
        return run_cross(x, index, kind, y_start=1) * gate.mT[:, 1:].sigmoid()

    compiled = torch.compile(block, fullgraph=True, backend='aot_eager')
    for value, expected in zip(with_gradients(compiled, inputs), with_gradients(block, inputs), strict=True):
        assert torch.equal(value, expected)


class Scan(torch.nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, u, delta, A, Bm, Cm, index):
        return cross_selective_scan(u, delta, A, Bm, Cm, index=index, backend=self.kind)


def test_export_with_dynamic_length(kind):
    def arguments(length, seed):
        inputs = make_cross(length=length, D=False, bias=False, seed=seed)
        return (*(inputs[name] for name in NAMES[:5]), permutations(2, length, seed))

    length = torch.export.Dim('length', min=2, max=10_000)
    shapes = dict(u={1: length}, delta={2: length}, A=None, Bm={2: length}, Cm={2: length}, index={1: length})
    program = torch.export.export(Scan(kind), arguments(70, 0), dynamic_shapes=shapes)
    for other in (5, 200):
        assert torch.equal(program.module()(*arguments(other, 1)), Scan(kind)(*arguments(other, 1)))


class PlainScan(torch.nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, u, delta, A, B, C, D, delta_bias):
        return selective_scan(u, delta, A, B, C, D, u, delta_bias, True, True, backend=self.kind)


def test_export_of_the_plain_scan_with_dynamic_length(kind):
    length = torch.export.Dim('length', min=2, max=10_000)
    shapes = dict(u={2: length}, delta={2: length}, A=None, B={3: length}, C={3: length}, D=None, delta_bias=None)
    program = torch.export.export(PlainScan(kind), tuple(selective_inputs(70)), dynamic_shapes=shapes)
    for other in (5, 200):
        values, expected = (scan(*selective_inputs(other)) for scan in (program.module(), PlainScan(kind)))
        assert all(torch.equal(x, y) for x, y in zip(values, expected, strict=True))


def test_second_forward_output_carries_no_gradient(kind):
    inputs = leaves(make_cross(length=5))
    out, states = op_of(kind, 'cross_scan_fwd')(*(inputs[name] for name in NAMES[:7]), permutations(2, 5), None, True,
                                                0, 5, True)
    assert out.requires_grad
    assert not states.requires_grad


def test_flops_by_hand():
    # One token, channel and state: decay 2, input 1, state 2, bias 1, softplus 4, delta u 1; then C h 2, D u 2, sum 1.
    assert scan_flops(1, 1, 1, outputs=0) == 11
    assert scan_flops(1, 1, 1) == 16
    assert scan_flops(10, 3, 16, rank=16) == 10 * 3 * (7 * 16 + 9 + 32)
    assert scan_backward_flops(10, 3, 16, rank=4, outputs=0) == 10 * 3 * (15 * 16 + 17 + 24)
    assert scan_backward_flops(10, 3, 16) - scan_backward_flops(10, 3, 16, outputs=0) == 10 * 3 * (4 * 16 + 4)


def test_flops_are_counted(kind):
    inputs = leaves(make_cross(length=20, rank=2))  # B 2, K 2, C 5, n 3
    with FlopCounterMode(display=False) as counter:
        run_cross(inputs, permutations(2, 20), kind, y_start=15).sum().backward()
    assert counter.get_total_flops() == (scan_flops(80, 5, 3, rank=2, outputs=20)
                                         + scan_backward_flops(80, 5, 3, rank=2, outputs=20))
    with FlopCounterMode(display=False) as counter:
        x = [t.float() for t in selective_inputs()]
        selective_scan(*x[:6], delta_bias=x[6], backend=kind)
    assert counter.get_total_flops() == scan_flops(12, 4, 3)


@pytest.mark.parametrize('isa', ['generic', 'avx2', 'avx512'])
@pytest.mark.parametrize(('dtype', 'bound'), [(torch.float32, 2e-7), (torch.float64, 3e-16)])
def test_exponential_of_the_kernels(monkeypatch, isa, dtype, bound):
    native_or_skip()
    monkeypatch.setenv('MMAVS_CPU_ISA', isa)
    x = torch.cat([torch.linspace(-125, 20, 8190, dtype=dtype), torch.tensor([0.0, -1e30], dtype=dtype)])
    try:
        y = torch.ops.mmavs.scan_exp2(x, 1).double()
    except RuntimeError as error:
        skip_absent_isa(error)
    expected = torch.exp2(x.double())
    assert ((y - expected).abs() / expected)[:-1].max() < bound
    assert y[-2] == 1
    assert y[-1] < 2e-38
    # Where a state decays slowly, errors add up over the tokens: they must have no bias.
    slow = torch.linspace(-1e-3, 0, 1024, dtype=dtype)
    assert abs(float((torch.ops.mmavs.scan_exp2(slow, 1).double() - torch.exp2(slow.double())).mean())) < bound / 50
