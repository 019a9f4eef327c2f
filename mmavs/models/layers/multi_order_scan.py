"""The scan core that all five kinds of block share.

Letters: B sequences, L tokens, E inner channels, K scan orders, n state size, R rank of the step size.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmavs.ops import cross_selective_scan
from mmavs.utils.arguments import check_whole

DT_MIN, DT_MAX, DT_FLOOR = 1e-3, 1e-1, 1e-4


class MultiOrderScan(nn.Module):
    """Selective scan of one token set along K orders, summed (paper eq. 4-7, 9-10, 14, 17-19).

    For every order ``h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t`` and ``y_t = C_t h_t + D x_t`` with
    ``dt = softplus(W_dt (W_x x)[:R] + bias)``; each order has weights of its own. ``W_x`` acts on single tokens, so the
    tokens are projected once, in their natural order, and the scan reads them through a table of positions: there are
    no reordered copies. The recurrence runs in float32 also under autocast (float64 for float64 tokens).

    Parameters: ``x_proj_weight`` (K, R + 2n, E), rows in the order dt, B, C; ``dt_proj_weight`` (K, E, R);
    ``dt_proj_bias`` (K, E); ``A_log`` (K*E, n), starts as log(1..n); ``D`` (K*E), starts as 1. The step sizes start
    log-uniform in [1e-3, 1e-1] as in Mamba (Gu and Dao, 2023).

    Args:
        channels: E.
        num_orders: K.
        d_state: n. Default: 16.
        dt_rank: R. Default: 16.

    Raises:
        ValueError: If one of the numbers is no whole number of at least 1.
    """

    def __init__(self, channels: int, num_orders: int, d_state: int = 16, dt_rank: int = 16) -> None:
        super().__init__()
        numbers = dict(channels=channels, num_orders=num_orders, d_state=d_state, dt_rank=dt_rank)
        for name, value in numbers.items():
            check_whole(f'{name} of a scan', value)
        self.channels, self.num_orders, self.d_state, self.dt_rank = channels, num_orders, d_state, dt_rank
        self.x_proj_weight = nn.Parameter(torch.empty(num_orders, dt_rank + 2 * d_state, channels))
        self.dt_proj_weight = nn.Parameter(torch.empty(num_orders, channels, dt_rank))
        self.dt_proj_bias = nn.Parameter(torch.empty(num_orders, channels))
        self.A_log = nn.Parameter(torch.empty(num_orders * channels, d_state))
        self.D = nn.Parameter(torch.empty(num_orders * channels))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the start values."""
        nn.init.uniform_(self.x_proj_weight, -self.channels**-0.5, self.channels**-0.5)
        nn.init.uniform_(self.dt_proj_weight, -self.dt_rank**-0.5, self.dt_rank**-0.5)
        step = torch.empty_like(self.dt_proj_bias).uniform_(math.log(DT_MIN), math.log(DT_MAX)).exp_()
        step.clamp_(min=DT_FLOOR)
        # softplus(bias) = step
        self.dt_proj_bias.copy_(step + torch.log(-torch.expm1(-step)))
        states = torch.arange(1, self.d_state + 1, dtype=self.A_log.dtype, device=self.A_log.device)
        self.A_log.copy_(states.log().expand_as(self.A_log))
        nn.init.ones_(self.D)

    def forward(self, tokens: Tensor, index: Tensor, y_start: int = 0, y_len: int | None = None) -> Tensor:
        """Scan the tokens along all orders.

        Args:
            tokens: In natural order. Shape (B, L, E).
            index: ``index[k, i]`` is the natural position of the token that order k visits at step i. Shape (K, L),
                int32.
            y_start: First natural position whose output is wanted.
            y_len: How many outputs are wanted; None: all from ``y_start``.

        Returns:
            The outputs summed over the orders, in natural order, float32 (float64 for float64 tokens).
            Shape (B, y_len, E).
        """
        projected = F.linear(tokens, self.x_proj_weight.flatten(0, 1))
        projected = projected.unflatten(2, (self.num_orders, -1)).permute(0, 2, 1, 3)  # (B, K, L, R + 2n)
        step_factor, Bm, Cm = projected.split([self.dt_rank, self.d_state, self.d_state], dim=3)
        with torch.autocast(tokens.device.type, enabled=False):
            precision = torch.promote_types(self.A_log.dtype, torch.float32)
            A = -self.A_log.to(precision).exp()
            return cross_selective_scan(
                tokens, step_factor, A, Bm, Cm, self.D.to(precision), self.dt_proj_bias.to(precision).flatten(),
                index=index, dt_weight=self.dt_proj_weight.to(precision), delta_softplus=True,
                y_start=y_start, y_len=y_len)

    def extra_repr(self) -> str:
        return (f'channels={self.channels}, num_orders={self.num_orders}, d_state={self.d_state}, '
                f'dt_rank={self.dt_rank}')
