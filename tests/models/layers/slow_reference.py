"""The scan blocks, written a second time straight from the paper: one clip, one order, one token after the other.

Every sequence is an explicit copy in the order in which it is visited; weights are read from the block under test.
A clip is a list of levels, each of shape (T, h, w, channels).
"""

import torch
import torch.nn.functional as F


def scan_sequence(tokens, scan, k):
    """Selective scan of tokens (L, E) with the weights of order k, in the order given."""
    E, n, R = scan.channels, scan.d_state, scan.dt_rank
    A = -torch.exp(scan.A_log[k * E:(k + 1) * E])
    D = scan.D[k * E:(k + 1) * E]
    h = torch.zeros(E, n, dtype=tokens.dtype)
    outputs = []
    for x in tokens:
        row = scan.x_proj_weight[k] @ x
        dt, B, C = row[:R], row[R:R + n], row[R + n:]
        dt = torch.log1p(torch.exp(scan.dt_proj_weight[k] @ dt + scan.dt_proj_bias[k]))
        h = torch.exp(dt[:, None] * A) * h + (dt * x)[:, None] * B[None, :]
        outputs.append(h @ C + D * x)
    return torch.stack(outputs)


def unroll(level, order):
    """Tokens of one level (T, h, w, E) in an order such as 'THW', the last letter running fastest."""
    return level.permute(*('THW'.index(letter) for letter in order), 3).reshape(-1, level.shape[3])


def roll_up(tokens, shape, order):
    """Undo :func:`unroll` for a level of shape (T, h, w)."""
    axes = ['THW'.index(letter) for letter in order]
    level = tokens.reshape(*(shape[axis] for axis in axes), -1)
    return level.permute(*(axes.index(axis) for axis in range(3)), 3)


def scan_levels(levels, scan, orders):
    """Scan all levels of a clip, concatenated inside every order; ``orders`` is a list of (name, reversed)."""
    sums = [torch.zeros_like(level) for level in levels]
    for k, (order, backwards) in enumerate(orders):
        sequence = torch.cat([unroll(level, order) for level in levels])
        if backwards:
            sequence = sequence.flip(0)
        scanned = scan_sequence(sequence, scan, k)
        if backwards:
            scanned = scanned.flip(0)
        parts = scanned.split([level.shape[:3].numel() for level in levels])
        sums = [total + roll_up(part, level.shape[:3], order)
                for total, part, level in zip(sums, parts, levels, strict=True)]
    return sums


def conv_frames(level, weight, bias):
    """Depth-wise 3x3 convolution of every frame; weight (C, 3, 3)."""
    out = torch.zeros_like(level)
    height, width = level.shape[1:3]
    padded = F.pad(level, (0, 0, 1, 1, 1, 1))
    for i in range(3):
        for j in range(3):
            out = out + padded[:, i:i + height, j:j + width] * weight[:, i, j]
    return out + bias


def conv_clip(level, weight, bias):
    """Depth-wise 3x3x3 convolution of a clip; weight (C, 3, 3, 3)."""
    padded = F.pad(level, (0, 0, 0, 0, 0, 0, 1, 1))
    T = level.shape[0]
    return sum(conv_frames(padded[i:i + T], weight[:, i], torch.zeros_like(bias)) for i in range(3)) + bias


def causal_conv(tokens, conv):
    """Causal depth-wise convolution of tokens (L, C)."""
    width = conv.kernel_size[0]
    rows = []
    for i in range(len(tokens)):
        row = conv.bias
        for j in range(width):
            if i - j >= 0:
                row = row + conv.weight[:, 0, width - 1 - j] * tokens[i - j]
        rows.append(row)
    return torch.stack(rows)


def gate_out(out, scanned, z):
    """Norm with eps 1e-5, gate, projection."""
    mean = scanned.mean(-1, keepdim=True)
    variance = (scanned - mean).square().mean(-1, keepdim=True)
    normed = (scanned - mean) / torch.sqrt(variance + 1e-5) * out.norm.weight + out.norm.bias
    return (normed * F.silu(z)) @ out.proj.weight.T


def pre_norm(x, norm):
    """LayerNorm with eps 1e-6."""
    mean = x.mean(-1, keepdim=True)
    variance = (x - mean).square().mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-6) * norm.weight + norm.bias


def vss(levels, block):
    """VSS on each frame of a clip by itself."""
    orders = [('THW', False), ('TWH', False), ('THW', True), ('TWH', True)]
    frames = [_visual_block([level[t:t + 1] for level in levels], block, orders) for t in range(len(levels[0]))]
    return [torch.cat(parts) for parts in zip(*frames, strict=True)]


def temporal_mamba(levels, block, num_orders):
    """Temporal Mamba on a clip."""
    names = ('THW', 'TWH', 'HWT', 'WHT', 'HTW', 'WTH')[:num_orders // 2]
    return _visual_block(levels, block, [(name, backwards) for name in names for backwards in (False, True)])


def _visual_block(levels, block, orders):
    E = block.scan.channels
    convolved, gates = [], []
    for level in levels:
        projected = level @ block.in_proj.weight.T
        x, z = projected[..., :E], projected[..., E:]
        weight = block.conv.weight
        if weight.dim() == 5 and weight.shape[2] == 3:
            x = conv_clip(x, weight[:, 0], block.conv.bias)
        else:
            x = conv_frames(x, weight.reshape(E, 3, 3), block.conv.bias)
        convolved.append(F.silu(x))
        gates.append(z)
    scanned = scan_levels(convolved, block.scan, orders)
    return [gate_out(block.out, y, z) for y, z in zip(scanned, gates, strict=True)]


def v2a(queries, level, block):
    """Vision-to-audio fusion of a clip: queries (T, A, D), one level (T, h, w, D)."""
    E = block.scan.channels
    v = pre_norm(level, block.norm_v) @ block.proj_v.weight.T
    v = F.silu(conv_frames(v, block.conv_v.weight[:, 0], block.conv_v.bias))
    projected = pre_norm(queries, block.norm_q) @ block.proj_q.weight.T
    a, z = projected[..., :E], projected[..., E:]
    clips = [(v, a)] if block.temporal else [(v[t:t + 1], a[t:t + 1]) for t in range(len(v))]
    outputs = []
    for clip, sound in clips:
        sound = sound.reshape(-1, E)
        sound = F.silu(causal_conv(sound, block.conv_q))
        total = 0
        for k, (order, backwards) in enumerate([('THW', False), ('TWH', False), ('THW', True), ('TWH', True)]):
            visual = unroll(clip, order)
            # Only the temporal level turns the audio around with the vision.
            turned = backwards and block.temporal
            sequence = torch.cat([visual.flip(0) if backwards else visual, sound.flip(0) if turned else sound])
            scanned = scan_sequence(sequence, block.scan, k)[-len(sound):]
            total = total + (scanned.flip(0) if turned else scanned)
        outputs.append(total)
    return queries + gate_out(block.out, torch.cat(outputs).reshape(z.shape), z)


def a2v(level, audio, block):
    """Audio-to-vision fusion of a clip: one level (T, h, w, D), audio (T, D)."""
    E, T = block.scan.channels, len(audio)
    projected = pre_norm(level, block.norm_v) @ block.proj_v.weight.T
    x, z = projected[..., :E], projected[..., E:]
    x = F.silu(conv_frames(x, block.conv_v.weight[:, 0], block.conv_v.bias))
    a = F.silu(causal_conv(pre_norm(audio, block.norm_a) @ block.proj_a.weight.T, block.conv_a))
    total = torch.zeros_like(x)
    for k, (order, backwards) in enumerate([('THW', False), ('TWH', False), ('THW', True), ('TWH', True)]):
        visual = unroll(x, order)
        sequence = torch.cat([a.flip(0), visual.flip(0)] if backwards else [a, visual])
        scanned = scan_sequence(sequence, block.scan, k)[T:]
        total = total + roll_up(scanned.flip(0) if backwards else scanned, x.shape[:3], order)
    return level + gate_out(block.out, total, z)
