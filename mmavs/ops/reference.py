"""The scan in plain PyTorch: the path of machines without the native ops, and what those are compared with.

``h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t``, ``y_t = C_t h_t + D u_t`` (paper eq. 4), for K scans at once. The
loop runs over tokens and each of its steps works on all (B, K, C, n); the backward pass keeps the state at the start of
every chunk of 64 tokens and recomputes the rest, so that memory does not grow with L * n and time is linear in L.

Letters: B sequences, K scans, G sets of tokens (1: shared by the scans, or K), L tokens, C channels, n state size,
R rank of the step size, c tokens of a chunk. Sums are float32, float64 for float64 tokens.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 64


def accumulate_dtype(dtype: torch.dtype) -> torch.dtype:
    """Dtype of the state and the outputs: float64 for float64 tokens, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


class _Chunks:
    """Inputs of one scan, handed out chunk by chunk in the order in which the scans visit the tokens."""

    def __init__(self, u: Tensor, delta: Tensor, A: Tensor, Bm: Tensor, Cm: Tensor, delta_bias: Tensor | None,
                 index: Tensor | None, dt_weight: Tensor | None, delta_softplus: bool) -> None:
        self.batch, self.scans, self.length = Bm.shape[:3]
        self.dtype = accumulate_dtype(u.dtype)
        channels = u.shape[3]
        self.shape = (self.batch, self.scans, A.shape[1], channels)
        self.u = u.expand(-1, self.scans, -1, -1)
        self.delta, self.Bm, self.Cm = delta, Bm, Cm
        self.A = A.to(self.dtype).view(self.scans, channels, -1).transpose(1, 2).contiguous()  # (K, n, C)
        self.bias = None if delta_bias is None else delta_bias.to(self.dtype).view(self.scans, 1, channels)
        self.dt_weight = None if dt_weight is None else dt_weight.to(self.dtype)
        self.index = None if index is None else index.long()
        self.delta_softplus = delta_softplus
        self.spans = [(s, min(s + CHUNK, self.length)) for s in range(0, self.length, CHUNK)]

    def take(self, x: Tensor, span: tuple[int, int]) -> Tensor:
        """Tokens of a chunk: (B, K, L, X) -> (B, K, c, X)."""
        if self.index is None:
            return x[:, :, span[0]:span[1]].to(self.dtype)
        rows = self.index[None, :, span[0]:span[1], None].expand(self.batch, -1, -1, x.shape[3])
        return torch.gather(x, 2, rows).to(self.dtype)

    def put(self, target: Tensor, span: tuple[int, int], value: Tensor) -> None:
        """Write the tokens of a chunk to their places in (B, K, L, X)."""
        if self.index is None:
            target[:, :, span[0]:span[1]] = value
        else:
            rows = self.index[None, :, span[0]:span[1], None].expand(self.batch, -1, -1, target.shape[3])
            target.scatter_(2, rows, value)

    def add(self, target: Tensor, span: tuple[int, int], value: Tensor) -> None:
        """Add the tokens of a chunk to their places in (B, G, L, C), one scan after the other if they share them."""
        if target.shape[1] == self.scans:
            self.put(target, span, value)
            return
        for k in range(self.scans):
            # A scan visits a token once: the result does not depend on an order of additions.
            target[:, 0].index_add_(1, self.index[k, span[0]:span[1]], value[:, k])

    def step_size(self, span: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Step sizes of a chunk: factor (B, K, c, R) or itself, before softplus, after it (B, K, c, C)."""
        factor = self.take(self.delta, span)
        raw = factor if self.dt_weight is None else factor @ self.dt_weight.transpose(1, 2)
        if self.bias is not None:
            raw = raw + self.bias
        return factor, raw, F.softplus(raw, threshold=40.0) if self.delta_softplus else raw


def _advance(h: Tensor, decay: Tensor, delta_t: Tensor, input_t: Tensor, A: Tensor, B_t: Tensor) -> None:
    """One step of the recurrence, in place: ``h`` and ``decay`` (B, K, n, C)."""
    torch.mul(delta_t[:, :, None], A, out=decay).exp_()
    h.mul_(decay).addcmul_(input_t[:, :, None], B_t[..., None])


def scan_forward(u: Tensor, delta: Tensor, A: Tensor, Bm: Tensor, Cm: Tensor, D: Tensor | None,
                 delta_bias: Tensor | None, index: Tensor | None, dt_weight: Tensor | None, delta_softplus: bool,
                 save_states: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Scan and, where the scans share their tokens (G = 1), sum the outputs over them in natural order.

    Args:
        u: Shape (B, G, L, C), G = 1 or K.
        delta: Step sizes before bias and softplus. Shape (B, K, L, C), or (B, K, L, R) with ``dt_weight``.
        A: Shape (K*C, n).
        Bm: Shape (B, K, L, n).
        Cm: Shape (B, K, L, n).
        D: Shape (K*C,) or None.
        delta_bias: Shape (K*C,) or None.
        index: Shape (K, L); None, only with G = K: every scan visits its tokens as they lie.
        dt_weight: Shape (K, C, R) or None.
        delta_softplus: Apply softplus to the step sizes.
        save_states: Keep what the backward pass needs.

    Returns:
        Outputs (B, G, L, C), last states (B, K, n, C) and the states before each chunk (B, K, chunks, n, C), the
        latter empty without ``save_states``.
    """
    chunks = _Chunks(u, delta, A, Bm, Cm, delta_bias, index, dt_weight, delta_softplus)
    out = u.new_zeros(u.shape, dtype=chunks.dtype)
    h = u.new_zeros(chunks.shape, dtype=chunks.dtype)
    decay = torch.empty_like(h)
    batch, scans, n, channels = chunks.shape
    states = h.new_empty((batch, scans, len(chunks.spans), n, channels) if save_states else (0,))
    skip = None if D is None else D.to(chunks.dtype).view(scans, 1, channels)
    for i, span in enumerate(chunks.spans):
        if save_states:
            states[:, :, i] = h
        u_c, B_c, C_c = (chunks.take(x, span) for x in (chunks.u, Bm, Cm))
        step = chunks.step_size(span)[2]
        inputs = step * u_c
        y = torch.zeros_like(inputs) if skip is None else skip * u_c
        for t in range(span[1] - span[0]):
            _advance(h, decay, step[:, :, t], inputs[:, :, t], chunks.A, B_c[:, :, t])
            y[:, :, t] += (C_c[:, :, t, None] @ h)[:, :, 0]
        chunks.add(out, span, y)
    return out, h, states


def scan_backward(dout: Tensor, u: Tensor, delta: Tensor, A: Tensor, Bm: Tensor, Cm: Tensor, D: Tensor | None,
                  delta_bias: Tensor | None, index: Tensor | None, dt_weight: Tensor | None, states: Tensor,
                  delta_softplus: bool) -> tuple[Tensor, ...]:
    """Gradients of :func:`scan_forward` for ``dout`` (B, G, L, C), in the dtype of the sums.

    Returns:
        Gradients of u, delta, A, Bm, Cm, D, delta_bias and dt_weight; an absent input has an empty one.
    """
    chunks = _Chunks(u, delta, A, Bm, Cm, delta_bias, index, dt_weight, delta_softplus)
    scans, channels = chunks.scans, u.shape[3]
    zeros = dict(dtype=chunks.dtype, device=u.device)
    du, ddelta, dB, dC = (torch.zeros(x.shape, **zeros) for x in (u, delta, Bm, Cm))
    dA, g = torch.zeros(chunks.shape, **zeros), torch.zeros(chunks.shape, **zeros)
    dD, dbias = torch.zeros(scans, channels, **zeros), torch.zeros(scans, channels, **zeros)
    dweight = torch.zeros(0 if dt_weight is None else dt_weight.shape, **zeros)
    history = torch.empty((CHUNK + 1, *chunks.shape), **zeros)
    decay = torch.empty_like(g)
    dout = dout.expand(-1, scans, -1, -1)
    for i, span in reversed(list(enumerate(chunks.spans))):
        u_c, B_c, C_c, dy = (chunks.take(x, span) for x in (chunks.u, Bm, Cm, dout))
        factor, raw, step = chunks.step_size(span)
        inputs = step * u_c
        history[0] = states[:, :, i]
        for t in range(span[1] - span[0]):
            history[t + 1] = history[t]
            _advance(history[t + 1], decay, step[:, :, t], inputs[:, :, t], chunks.A, B_c[:, :, t])
        dinputs, dstep = torch.empty_like(inputs), torch.empty_like(inputs)
        dB_c, dC_c = torch.empty_like(B_c), torch.empty_like(C_c)
        for t in reversed(range(span[1] - span[0])):
            g.addcmul_(dy[:, :, t, None], C_c[:, :, t, :, None])
            dC_c[:, :, t] = (history[t + 1] @ dy[:, :, t, :, None])[..., 0]
            dB_c[:, :, t] = (g @ inputs[:, :, t, :, None])[..., 0]
            dinputs[:, :, t] = (B_c[:, :, t, None] @ g)[:, :, 0]
            torch.mul(step[:, :, t, None], chunks.A, out=decay).exp_()
            g.mul_(decay)
            torch.mul(g, history[t], out=decay)
            dA.addcmul_(decay, step[:, :, t, None])
            dstep[:, :, t] = decay.mul_(chunks.A).sum(2)
        du_c = dinputs * step
        if D is not None:
            du_c += D.to(chunks.dtype).view(scans, 1, channels) * dy
            dD += (dy * u_c).sum((0, 2))
        draw = dstep + dinputs * u_c
        if delta_softplus:
            draw *= raw.sigmoid()
        dbias += draw.sum((0, 2))
        if dt_weight is not None:
            dweight += torch.einsum('bktc,bktr->kcr', draw, factor)
            draw = draw @ chunks.dt_weight
        chunks.add(du, span, du_c)
        for target, value in ((ddelta, draw), (dB, dB_c), (dC, dC_c)):
            chunks.put(target, span, value)
    dA = dA.sum(0).transpose(1, 2).reshape(A.shape)
    return (du, ddelta, dA, dB, dC, dD.flatten() if D is not None else dD.new_empty(0),
            dbias.flatten() if delta_bias is not None else dbias.new_empty(0), dweight)
