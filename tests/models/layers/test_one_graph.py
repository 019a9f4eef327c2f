"""Every block that scans compiles as one graph, with the values and the gradients of plain calls."""

import pytest
import torch

from mmavs.models.layers.a2v_block import A2VBlock
from mmavs.models.layers.v2a_block import V2ABlock
from mmavs.models.layers.visual_scan_block import TemporalMambaBlock, VSSBlock

LEVELS, LEVEL, CLIPS = ((3, 4), (2, 2)), (3, 4), [2, 2]
BLOCKS = {
    'vss': (lambda: VSSBlock(16, d_state=2), (16,), None, (LEVELS,)),
    'temporal': (lambda: TemporalMambaBlock(16, num_orders=4, d_state=2), (16,), None, (LEVELS, CLIPS)),
    'clips of two lengths': (lambda: TemporalMambaBlock(16, num_orders=4, d_state=2), (16,), None, (LEVELS, [1, 3])),
    'v2a': (lambda: V2ABlock(16, True, d_state=2, drop_path_rate=0.), (1,), (12,), (LEVEL, CLIPS)),
    'a2v': (lambda: A2VBlock(16, d_state=2, drop_path_rate=0.), (12,), (1,), (LEVEL, CLIPS)),
}


@pytest.mark.parametrize('name', BLOCKS)
def test_block_is_one_graph(name):
    make, first, second, options = BLOCKS[name]
    torch.manual_seed(0)
    block = make()
    tokens = [torch.randn(4, *count, 16) for count in (first, second) if count]
    compiled = torch.compile(block, fullgraph=True, backend='aot_eager')
    results = []
    for function in (block, compiled):
        leaves = [*(x.clone().requires_grad_() for x in tokens), *block.parameters()]
        out = function(*leaves[:len(tokens)], *options)
        results.append([out, *torch.autograd.grad(out.square().sum(), leaves)])
    assert results[0][0].abs().max() > 0.1
    for value, expected in zip(*results, strict=True):
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-6)
