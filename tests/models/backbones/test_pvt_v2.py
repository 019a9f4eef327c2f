import re
import warnings

import pytest
import torch
from torch.nn import functional as F

from mmavs.models.backbones import PVTv2
from mmavs.models.backbones.pvt_v2 import ARCHITECTURES
from mmavs.registry import MODELS

TINY = dict(embed_dims=(8, 16, 24, 32), depths=(1, 2, 1, 1), mlp_ratios=(4, 4, 4, 4), num_heads=(1, 2, 3, 4))
# Parameters with the classification head; Table 2 of the paper has them in millions, 3.7, 14.0, 25.4, 45.2, 62.6, 82.0.
PARAMETERS = {'b0': 3_666_760, 'b1': 14_009_000, 'b2': 25_362_856, 'b3': 45_238_696, 'b4': 62_556_072, 'b5': 81_956_008}


def randomised(model, seed=0, std=0.2):
    """Give every parameter, biases and norms included, a value that matters."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.data = (parameter.data + std * noise.to(parameter.dtype)).detach().requires_grad_()
    return model


def slow_attention(attn, tokens, size):
    """The attention of one block with plain matrices, head by head."""
    width = tokens.shape[-1] // attn.num_heads
    reduced = tokens
    if attn.sr_ratio > 1:
        maps = tokens.transpose(1, 2).reshape(len(tokens), -1, *size)
        maps = F.conv2d(maps, attn.sr.weight, attn.sr.bias, stride=attn.sr_ratio)
        reduced = F.layer_norm(maps.flatten(2).transpose(1, 2), maps.shape[1:2], attn.norm.weight, attn.norm.bias, 1e-5)
    query = tokens @ attn.q.weight.T + attn.q.bias
    keys_values = reduced @ attn.kv.weight.T + attn.kv.bias
    keys, values = keys_values.chunk(2, dim=-1)
    heads = []
    for head in range(attn.num_heads):
        part = slice(head * width, (head + 1) * width)
        scores = query[..., part] @ keys[..., part].transpose(1, 2) / width**0.5
        heads.append(scores.softmax(-1) @ values[..., part])
    return torch.cat(heads, dim=-1) @ attn.proj.weight.T + attn.proj.bias


def test_attention_matches_plain_matrices():
    model = randomised(PVTv2(TINY).double())
    tokens = torch.randn(2, 16 * 8, 16, dtype=torch.float64)
    attn = model.block2[0].attn
    torch.testing.assert_close(attn(tokens, (16, 8)), slow_attention(attn, tokens, (16, 8)), rtol=1e-10, atol=1e-10)


def mmseg_weights(weights, reference):
    """Official names -> names of mmseg's MixVisionTransformer, whose feed-forward layers are 1x1 convolutions."""
    renamed = {}
    for name, value in weights.items():
        part, _, rest = name.partition('.')
        stage = int(part[-1]) - 1
        if part.startswith('patch_embed'):
            renamed[f'layers.{stage}.0.{rest.replace("proj.", "projection.")}'] = value
        elif part.startswith('norm'):
            renamed[f'layers.{stage}.2.{rest}'] = value
        else:
            block, _, rest = rest.partition('.')
            inner, _, kind = rest.rpartition('.')
            root = f'layers.{stage}.1.{block}.'
            if inner in ('attn.q', 'attn.kv'):
                renamed.setdefault(f'{root}attn.attn.in_proj_{kind}', {})[inner] = value
            elif inner == 'attn.proj':
                renamed[f'{root}attn.attn.out_proj.{kind}'] = value
            elif inner.startswith('mlp'):
                index = {'mlp.fc1': 0, 'mlp.dwconv.dwconv': 1, 'mlp.fc2': 4}[inner]
                is_linear = kind == 'weight' and inner != 'mlp.dwconv.dwconv'
                renamed[f'{root}ffn.layers.{index}.{kind}'] = value[..., None, None] if is_linear else value
            else:
                renamed[f'{root}{rest}'] = value
    for name, value in renamed.items():
        if isinstance(value, dict):
            renamed[name] = torch.cat([value['attn.q'], value['attn.kv']])
        assert renamed[name].shape == reference[name].shape, name
    return renamed


@pytest.mark.parametrize('size', [(64, 64), (96, 64)])
def test_matches_mmseg_mix_vision_transformer(size):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        from mmseg.models.backbones import MixVisionTransformer
    ours = randomised(PVTv2(TINY, drop_path_rate=0.0).double(), std=0.1)
    theirs = MixVisionTransformer(embed_dims=8, num_layers=TINY['depths'], num_heads=TINY['num_heads']).double().eval()
    theirs.load_state_dict(mmseg_weights(ours.state_dict(), theirs.state_dict()), strict=True)
    for name, module in theirs.named_modules():
        if re.fullmatch(r'layers\.\d\.0\.norm|.*attn\.norm', name):
            module.eps = 1e-5    # mmseg uses 1e-6 everywhere, the official code only in the blocks and after stages
    image = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    outputs = ours(image)
    for output, expected, channels, stride in zip(outputs, theirs(image), TINY['embed_dims'], (4, 8, 16, 32),
                                                  strict=True):
        assert output.shape == (2, channels, size[0] // stride, size[1] // stride)
        torch.testing.assert_close(output, expected, rtol=1e-9, atol=1e-9)
    gradient, = torch.autograd.grad(sum(output.square().sum() for output in outputs), image)
    expected, = torch.autograd.grad(sum(output.square().sum() for output in theirs(image)), image)
    torch.testing.assert_close(gradient, expected, rtol=1e-7, atol=1e-8)


def count_by_formula(embed_dims, depths, mlp_ratios):
    """Parameters without the head, term by term from section 3 of the paper."""
    total, previous = 0, 3
    for channels, depth, ratio, sr, patch in zip(embed_dims, depths, mlp_ratios, (8, 4, 2, 1), (7, 3, 3, 3),
                                                 strict=True):
        embedding = patch * patch * previous * channels + channels + 2 * channels
        attention = 4 * (channels * channels + channels)
        if sr > 1:
            attention += sr * sr * channels * channels + channels + 2 * channels
        hidden = ratio * channels
        feed_forward = channels * hidden + hidden + 9 * hidden + hidden + hidden * channels + channels
        total += embedding + depth * (attention + feed_forward + 4 * channels) + 2 * channels
        previous = channels
    return total


@pytest.mark.parametrize('arch', ['b0', 'b1', 'b2', 'b3', 'b4', 'b5'])
def test_parameter_counts(arch):
    with torch.device('meta'):
        model = PVTv2(arch)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == count_by_formula(**ARCHITECTURES[arch])
    assert count + ARCHITECTURES[arch]['embed_dims'][-1] * 1000 + 1000 == PARAMETERS[arch]
    assert len([*model.block1, *model.block2, *model.block3, *model.block4]) == sum(ARCHITECTURES[arch]['depths'])


def test_names_are_the_official_ones():
    names = set(PVTv2(TINY).state_dict())
    block = ['norm1', 'attn.q', 'attn.kv', 'attn.proj', 'norm2', 'mlp.fc1', 'mlp.dwconv.dwconv', 'mlp.fc2']
    expected = set()
    for stage, depth in enumerate(TINY['depths'], start=1):
        modules = [f'patch_embed{stage}.proj', f'patch_embed{stage}.norm', f'norm{stage}']
        reduction = ['attn.sr', 'attn.norm'] if stage < 4 else []
        modules += [f'block{stage}.{index}.{part}' for index in range(depth) for part in block + reduction]
        expected |= {f'{module}.{kind}' for module in modules for kind in ('weight', 'bias')}
    assert names == expected


def test_stochastic_depth_rises_linearly_and_rests_in_eval():
    model = PVTv2(TINY, drop_path_rate=0.4)
    rates = [block.drop_path.prob for stage in (1, 2, 3, 4) for block in getattr(model, f'block{stage}')]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    image = torch.randn(4, 3, 32, 32)
    torch.manual_seed(0)
    assert not torch.equal(model(image)[3], model(image)[3])
    model.eval()
    assert torch.equal(model(image)[3], model(image)[3])


def test_checkpointing_changes_nothing_but_memory():
    image = torch.randn(2, 3, 64, 64)
    gradients = []
    for with_cp in (False, True):
        torch.manual_seed(1)
        model = PVTv2(TINY, drop_path_rate=0.3, with_cp=with_cp)
        torch.manual_seed(2)
        sum(output.sum() for output in model(image)).backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        assert torch.equal(plain, checkpointed)


def test_with_cp_runs_each_block_again_in_backward():
    model = PVTv2(TINY, with_cp=True)
    calls = []
    model.block3[0].attn.register_forward_hook(lambda *_: calls.append(1))
    output = model(torch.randn(1, 3, 32, 32))[3].sum()
    assert len(calls) == 1
    output.backward()
    assert len(calls) == 2


def test_frozen():
    model = PVTv2(TINY, frozen=True).train()
    assert not model.training
    assert not model.block1[0].training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not model(torch.randn(1, 3, 32, 32))[0].requires_grad


def test_out_indices_leave_no_unused_parameter():
    model = PVTv2(TINY, out_indices=(0, 2))
    assert model.out_channels == (8, 24)
    outputs = model(torch.randn(1, 3, 64, 64))
    assert [tuple(output.shape) for output in outputs] == [(1, 8, 16, 16), (1, 24, 4, 4)]
    (outputs[0].square().sum() + outputs[1].square().sum()).backward()
    # norm2 only feeds the next stage, so it has a gradient too.
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert not hasattr(model, 'block4')


def test_official_file_loads_as_it_is(tmp_path):
    source = randomised(PVTv2(TINY))
    path = tmp_path / 'pvt_v2.pth'
    torch.save({**source.state_dict(), 'head.weight': torch.zeros(1000, 32), 'head.bias': torch.zeros(1000)}, path)
    model = MODELS.build(dict(type='mmavs.PVTv2', arch=TINY, init_cfg=dict(type='Pretrained', checkpoint=str(path))))
    model.init_weights()
    image = torch.randn(1, 3, 32, 32)
    for output, expected in zip(model.eval()(image), source.eval()(image), strict=True):
        assert torch.equal(output, expected)
    fewer = PVTv2(TINY, out_indices=(0, 1), init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    fewer.init_weights()
    assert torch.equal(fewer.block2[1].attn.q.weight, source.block2[1].attn.q.weight)


def test_prefix_of_a_trained_model(tmp_path):
    source = randomised(PVTv2(TINY))
    path = tmp_path / 'trained.pth'
    weights = {f'backbone.{name}': value for name, value in source.state_dict().items()}
    torch.save(dict(state_dict=weights | {'neck.x': torch.zeros(1)}), path)
    model = PVTv2(TINY, init_cfg=[dict(type='Pretrained', checkpoint=str(path), prefix='backbone.')])
    model.init_weights()
    assert torch.equal(model.norm4.weight, source.norm4.weight)


def test_file_problems_are_errors(tmp_path):
    def load(path):
        PVTv2(TINY, init_cfg=dict(type='Pretrained', checkpoint=str(path))).init_weights()

    with pytest.raises(FileNotFoundError, match=r'PVTv2 are not at .*absent\.pth.*whai362/PVT.*init_cfg=None'):
        load(tmp_path / 'absent.pth')
    weights = PVTv2(TINY).state_dict()
    partial = {name: value for name, value in weights.items() if not name.startswith('block3.0.attn')}
    torch.save(partial, tmp_path / 'partial.pth')
    with pytest.raises(ValueError, match=r'partial\.pth does not fit PVTv2: it lacks block3\.0\.attn\.kv\.bias.* more'):
        load(tmp_path / 'partial.pth')
    torch.save(weights | {'block9.q': torch.zeros(1)}, tmp_path / 'more.pth')
    with pytest.raises(ValueError, match=r'has unknown block9\.q'):
        load(tmp_path / 'more.pth')


def test_random_initialisation():
    torch.manual_seed(0)
    model = PVTv2(dict(embed_dims=(32, 64, 64, 64), depths=(1, 1, 1, 1), mlp_ratios=(4, 4, 4, 4)
                       ) | dict(num_heads=(1, 1, 1, 1)))
    assert model.block2[0].mlp.fc1.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert model.block2[0].mlp.dwconv.dwconv.weight.std().item() == pytest.approx((2 / 9) ** 0.5, rel=0.05)
    assert model.patch_embed2.proj.weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.05)
    assert model.block2[0].attn.q.bias.abs().max() == 0


@pytest.mark.parametrize(('keywords', 'message'), [
    (dict(arch='b6'), "unknown arch 'b6'; take one of b0, b1"),
    (dict(arch=dict(embed_dims=(8, 8, 8, 8))), 'a custom arch needs embed_dims, depths and mlp_ratios'),
    (dict(arch=TINY | dict(depths=(1, 2, 3))), 'depths of the arch of PVTv2 must be 4 whole numbers'),
    (dict(arch=TINY | dict(num_heads=(3, 1, 1, 1))), 'num_heads=3 does not divide embed_dims=8'),
    (dict(arch=TINY, out_indices=(1, 0)), 'out_indices must be rising numbers from 0 to 3'),
    (dict(arch=TINY, out_indices=(4, )), 'out_indices must be rising numbers from 0 to 3'),
    (dict(arch=TINY, drop_path_rate=1.5), r'drop_path_rate of PVTv2 must be a number in \[0, 1\)'),
    (dict(arch=TINY, drop_path_rate='0.1'), "drop_path_rate of PVTv2 must be a number .*got '0.1'"),
    (dict(arch=TINY, out_indices=3), 'out_indices must be rising numbers from 0 to 3, got 3'),
    (dict(arch=TINY | dict(mlp_ratios=(4.0, 4, 4, 4))), 'mlp_ratios of the arch of PVTv2 must be 4 whole numbers'),
])
def test_bad_settings(keywords, message):
    with pytest.raises(ValueError, match=message):
        PVTv2(**keywords)


@pytest.mark.parametrize('shape', [(3, 64, 64), (1, 1, 64, 64), (1, 3, 16, 64)])
def test_bad_images(shape):
    with pytest.raises(ValueError, match=r'image must have shape \(N, 3, H, W\)'):
        PVTv2(TINY)(torch.zeros(shape))
