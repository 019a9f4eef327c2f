// Backward, first step: adjoint of the state that each segment hands to the one before it, from a zero adjoint at its
// own end. The recurrence is g_t = C_t dy_t + exp(delta_{t+1} A) g_{t+1}; exp(delta_first A) g_first leaves a segment.
#pragma once

#include "scan_forward.cuh"

namespace mmavs {
namespace cuda {

template <typename scalar_t, int kPadded>
__global__ void __launch_bounds__(128, 4)
    scan_adjoint_kernel(const ScanParams<typename AccumulateType<scalar_t>::type> p) {
  using acc_t = typename AccumulateType<scalar_t>::type;
  using S = Shape<kPadded>;
  MMAVS_SHARED(memory);
  const ForwardShared<kPadded, acc_t> shared(memory, p.rank);   // u holds dy, B stays unused
  const BlockView<kPadded> view(p);
  if (view.segment == 0) return;

  acc_t decay[S::kStates];
  view.load_decay(p, decay);
  Vec<acc_t, S::kStates> g;
#pragma unroll
  for (int s = 0; s < S::kStates; ++s) g.v[s] = acc_t(0);
  acc_t delta_sum = acc_t(0);
  const scalar_t* C = static_cast<const scalar_t*>(p.Cm) + view.batch * p.c_batch + view.order * p.c_order;

  const int tiles = (view.end - view.begin + S::kTile - 1) / S::kTile;
  fetch_positions<kPadded>(p, view, view.begin + (tiles - 1) * S::kTile, shared.position + (tiles - 1) % 2 * S::kTile);
  __syncthreads();
  for (int tile = tiles - 1; tile >= 0; --tile) {
    const int* position = shared.position + tile % 2 * S::kTile;
    fetch_positions<kPadded>(p, view, view.begin + (tile - 1) * S::kTile, shared.position + (tile + 1) % 2 * S::kTile);
    acc_t dy[S::kPerThread];
    load_dout<kPadded>(p, view, position, dy);
    load_states<kPadded>(p, view, position, C, p.c_token, shared.C);
    load_factor<kPadded, scalar_t>(p, view, position, shared.factor);
    store_tile<kPadded>(view, dy, shared.u);
    load_delta<kPadded, scalar_t>(p, view, position, shared.factor, shared.delta);
    __syncthreads();
#pragma unroll 4
    for (int t = S::kTile - 1; t >= 0; --t) {
      const int cell = t * S::kRow + view.channel;
      const acc_t delta = shared.delta[cell];
      const acc_t dy = shared.u[cell];
      const Vec<acc_t, S::kStates> c = load_vec<acc_t, S::kStates>(shared.C + t * S::kN + view.lane * S::kStates);
#pragma unroll
      for (int s = 0; s < S::kStates; ++s) g.v[s] = exp2_fast(delta * decay[s]) * fused(c.v[s], dy, g.v[s]);
      delta_sum += delta;
    }
    __syncthreads();
  }

  if (view.in_range(p)) {
    const int64_t slot = static_cast<int64_t>(view.bk) * p.segments + view.segment;
    store_vec<acc_t, S::kStates>(p.carry_local + view.carry_offset(p), g);
    if (view.lane == 0 && view.state_block == 0)
      p.delta_sum[slot * p.channels + view.first_channel + view.channel] = delta_sum;
  }
}

}  // namespace cuda
}  // namespace mmavs
