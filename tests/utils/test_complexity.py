import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmavs.utils.complexity import count, explain_uncounted, table


class Branch(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, groups=1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = F.silu(self.conv(x))
        return self.fc(x.mean((2, 3)))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.branch = Branch()
        self.head = nn.Linear(5, 2, bias=False)

    def forward(self, x):
        return self.head(self.branch(x))


CONV = 2 * 2 * 6 * 7 * 8 * 3 * 9          # 2 per multiply-add, N H W C_out C_in k k
FC = 2 * 2 * 8 * 5
HEAD = 2 * 2 * 5 * 2


@pytest.fixture
def counted():
    model = Model()
    return count(model, lambda: model(torch.zeros(2, 3, 6, 7)))


def test_flops_by_hand_for_every_module(counted):
    assert counted.flops == {'': CONV + FC + HEAD, 'branch': CONV + FC, 'branch.conv': CONV, 'branch.fc': FC,
                             'head': HEAD}
    assert counted.by_operator == {'aten.convolution': CONV, 'aten.addmm': FC, 'aten.mm': HEAD}


def test_parameters_by_hand(counted):
    assert counted.parameters == {'': 3 * 8 * 9 + 8 + 45 + 10, 'branch': 3 * 8 * 9 + 8 + 45, 'branch.conv': 224,
                                  'branch.fc': 45, 'head': 10}


def test_a_list_of_modules_has_the_sum_of_its_members():
    class Listed(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([nn.Linear(3, 4, bias=False), nn.Linear(4, 5, bias=False)])

        def forward(self, x):
            for block in self.blocks:
                x = block(x)
            return x

    module = Listed()
    flops = count(module, lambda: module(torch.zeros(2, 3))).flops
    assert flops == {'': 48 + 80, 'blocks': 48 + 80, 'blocks.0': 48, 'blocks.1': 80}


def test_depth_wise_convolution_counts_one_input_channel_per_output():
    conv = nn.Conv2d(4, 4, 3, padding=1, groups=4)
    assert count(conv, lambda: conv(torch.zeros(1, 4, 5, 5))).flops[''] == 2 * 25 * 4 * 9


def test_fused_attention_is_counted_on_cpu():
    class Attention(nn.Module):
        def forward(self, q, k):
            return F.scaled_dot_product_attention(q, k, k)

    module, q, k = Attention(), torch.rand(2, 3, 10, 8), torch.rand(2, 3, 6, 8)
    result = count(module, lambda: module(q, k))
    assert result.flops[''] == 2 * (2 * 2 * 3 * 10 * 6 * 8)      # q k^T and the product with v


def test_what_has_no_formula_is_listed_with_its_size(counted):
    assert counted.uncounted == {'aten.silu': (1, 2 * 8 * 6 * 7), 'aten.mean': (1, 16)}
    often = count(nn.Identity(), lambda: [torch.ones(2).exp() for _ in range(3)] + [torch.ones(90).sin()])
    assert list(often.uncounted.items()) == [('aten.sin', (1, 90)), ('aten.exp', (3, 6))], 'by size'
    text = explain_uncounted(counted)
    assert 'aten.silu (1 calls, 0.0 M elements), aten.mean' in text
    assert 'Custom operators' not in text


def test_views_and_copies_are_not_listed():
    class Moves(nn.Module):
        def forward(self, x):
            return torch.cat([x.view(-1).flip(0), x.t().reshape(-1), torch.zeros(3)]).clone()

    module, inputs = Moves(), torch.rand(2, 3)
    result = count(module, lambda: module(inputs))
    assert result.uncounted == {}
    assert explain_uncounted(result) == 'Every operator that computes has a formula.'


def test_custom_operator_without_formula_is_called_out():
    @torch.library.custom_op('mmavs_test::triple', mutates_args=())
    def triple(x: torch.Tensor) -> torch.Tensor:
        return x * 3

    class Custom(nn.Module):
        def forward(self, x):
            return triple(x)

    module = Custom()
    result = count(module, lambda: module(torch.ones(4)))
    assert result.missing_kernels == ['mmavs_test.triple']
    assert 'Custom operators among them, whose work may be large: mmavs_test.triple' in explain_uncounted(result)

    from torch.utils.flop_counter import flop_registry, register_flop_formula
    register_flop_formula(torch.ops.mmavs_test.triple)(lambda x_shape, *args, out_shape=None, **kwargs: x_shape[0])
    try:
        result = count(module, lambda: module(torch.rand(4)))
    finally:
        del flop_registry[torch.ops.mmavs_test.triple]
    assert result.flops[''] == 4
    assert result.missing_kernels == []


def test_table_lists_modules_down_to_the_depth(counted):
    lines = table(counted, depth=1).splitlines()
    assert [line.split()[0] for line in lines] == ['module', '(whole', 'branch', 'head']
    assert lines[1].split()[2:] == ['279', '100.0', '0.000', '100.0']
    assert lines[3].split()[1:3] == ['10', '3.6']            # 10 of 279 parameters
    assert 'conv' in table(counted, depth=2)
    assert len(table(counted, depth=0).splitlines()) == 2
    model = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), nn.ReLU())
    lines = table(count(model, lambda: model(torch.zeros(1, 2)))).splitlines()
    assert [line.split()[0] for line in lines] == ['module', '(whole', '0', '1'], 'without what has neither'


def test_no_gradients_are_recorded():
    model = Model()
    outputs = []
    count(model, lambda: outputs.append(model(torch.zeros(1, 3, 4, 4))))
    assert not outputs[0].requires_grad
