// Forward: scan of one segment of one order by one block, either to its end state only or with outputs.
#pragma once

#include "scan_tile.cuh"

namespace mmavs {
namespace cuda {

// Shared memory of a forward block, in elements of acc_t, followed by kTile positions.
template <int kPadded, typename acc_t>
struct ForwardShared {
  using S = Shape<kPadded>;
  acc_t *B, *C, *factor, *delta, *x;
  int* position;

  __device__ ForwardShared(unsigned char* memory, int rank) {
    B = reinterpret_cast<acc_t*>(memory);
    C = B + S::kTile * S::kN;
    factor = C + S::kTile * S::kN;
    delta = factor + S::kTile * padded_rank(rank);
    x = delta + S::kTile * S::kRow;
    position = reinterpret_cast<int*>(x + S::kTile * S::kRow);
  }

  static __host__ __device__ size_t bytes(int rank) {
    return sizeof(acc_t) * S::kTile * (2 * S::kN + padded_rank(rank) + 2 * S::kRow) + sizeof(int) * S::kTile;
  }
};

// One token: h <- exp(delta A) h + delta u B.
template <int kStates, typename acc_t>
__device__ __forceinline__ void advance(const acc_t (&decay)[kStates], const acc_t* B, acc_t delta, acc_t x,
                                        acc_t (&h)[kStates]) {
  const Vec<acc_t, kStates> b = load_vec<acc_t, kStates>(B);
#pragma unroll
  for (int s = 0; s < kStates; ++s) h[s] = fused(exp2_fast(delta * decay[s]), h[s], x * b.v[s]);
}

// The tokens of a tile, with y = C h written over x. The lanes of a channel have all used x[t] before its sum exists.
template <int kPadded, bool kOutput, typename acc_t>
__device__ __forceinline__ void scan_tile(const BlockView<kPadded>& view, const ForwardShared<kPadded, acc_t>& shared,
                                          const acc_t (&decay)[Shape<kPadded>::kStates],
                                          acc_t (&h)[Shape<kPadded>::kStates], acc_t& delta_sum) {
  using S = Shape<kPadded>;
  const int states = view.lane * S::kStates;
#pragma unroll 4
  for (int t = 0; t < S::kTile; ++t) {
    const int cell = t * S::kRow + view.channel;
    const acc_t delta = shared.delta[cell];
    advance<S::kStates>(decay, shared.B + t * S::kN + states, delta, shared.x[cell], h);
    if (kOutput) {
      const Vec<acc_t, S::kStates> c = load_vec<acc_t, S::kStates>(shared.C + t * S::kN + states);
      acc_t y = acc_t(0);
#pragma unroll
      for (int s = 0; s < S::kStates; ++s) y = fused(c.v[s], h[s], y);
      y = sum_lanes<S::kLanes>(y);
      if (view.lane == 0) shared.x[cell] = y;
    } else {
      delta_sum += delta;
    }
  }
}

// y + D u of this thread's 16 elements to the slice of this order and state block, in natural order.
template <int kPadded, typename acc_t>
__device__ __forceinline__ void store_output(const ScanParams<acc_t>& p, const BlockView<kPadded>& view,
                                             const ForwardShared<kPadded, acc_t>& shared, const acc_t (&u)[16]) {
  using S = Shape<kPadded>;
  const int channel = view.first_channel + view.column;
  if (channel >= p.channels) return;
  const bool with_D = p.D && view.state_block == 0;
  const acc_t D = with_D ? p.D[static_cast<int64_t>(view.order) * p.channels + channel] : acc_t(0);
  const int64_t slice = static_cast<int64_t>(view.order) * p.state_blocks + view.state_block;
  acc_t* target = p.y_slices + (slice * p.batch + view.batch) * p.y_length * p.channels + channel;
#pragma unroll
  for (int i = 0; i < 16; ++i) {
    const int t = view.row + i * S::kLanes;
    const int position = shared.position[t];
    const int y = position - p.y_start;
    if (position >= 0 && y >= 0 && y < p.y_length)
      target[static_cast<int64_t>(y) * p.channels] = fused(D, u[i], shared.x[t * S::kRow + view.column]);
  }
}

// kOutput = false: states at the end of the segment from a zero start, and the sum of delta (not for the last segment).
// kOutput = true: outputs, and the state at the start of each tile when p.saved is given.
template <typename scalar_t, int kPadded, bool kOutput>
__global__ void __launch_bounds__(128)
    scan_forward_kernel(const ScanParams<typename AccumulateType<scalar_t>::type> p) {
  using acc_t = typename AccumulateType<scalar_t>::type;
  using S = Shape<kPadded>;
  MMAVS_SHARED(memory);
  const ForwardShared<kPadded, acc_t> shared(memory, p.rank);
  const BlockView<kPadded> view(p);
  if (!kOutput && view.segment == p.segments - 1) return;

  acc_t decay[S::kStates];
  view.load_decay(p, decay);
  Vec<acc_t, S::kStates> state;
#pragma unroll
  for (int s = 0; s < S::kStates; ++s) state.v[s] = acc_t(0);
  const int64_t slot = static_cast<int64_t>(view.bk) * p.segments + view.segment;
  if (kOutput && p.segments > 1 && view.in_range(p))
    state = load_vec<acc_t, S::kStates>(p.carry_in + view.state_offset(p, slot));
  acc_t delta_sum = acc_t(0);
  const scalar_t* B = static_cast<const scalar_t*>(p.Bm) + view.batch * p.b_batch + view.order * p.b_order;
  const scalar_t* C = static_cast<const scalar_t*>(p.Cm) + view.batch * p.c_batch + view.order * p.c_order;

  for (int first = view.begin; first < view.end; first += S::kTile) {
    int position[16];
    acc_t u[16];
    load_positions<kPadded>(p, view, first, position, shared.position);
    load_tokens<kPadded, scalar_t>(p, view, position, u);
    load_states<kPadded>(p, view, first, B, p.b_token, shared.B);
    bool wanted = false;
    if (kOutput) {
#pragma unroll
      for (int i = 0; i < 16; ++i)
        wanted |= position[i] >= p.y_start && position[i] - p.y_start < p.y_length && position[i] >= 0;
      load_states<kPadded>(p, view, first, C, p.c_token, shared.C);
      if (p.saved && view.in_range(p))
        store_vec<acc_t, S::kStates>(
            p.saved + view.state_offset(p, static_cast<int64_t>(view.bk) * p.tiles + first / S::kTile), state);
    }
    {
      acc_t delta[16];
      load_delta<kPadded, scalar_t>(p, view, first, position, shared.factor, delta);
      store_tile<kPadded>(view, delta, shared.delta);
#pragma unroll
      for (int i = 0; i < 16; ++i) delta[i] *= u[i];
      store_tile<kPadded>(view, delta, shared.x);
    }
    // A tile whose tokens are all outside [y_start, y_start + y_length) only moves the state on.
    if (__syncthreads_or(wanted)) {
      scan_tile<kPadded, true>(view, shared, decay, state.v, delta_sum);
      __syncthreads();
      store_output<kPadded>(p, view, shared, u);
    } else {
      scan_tile<kPadded, false>(view, shared, decay, state.v, delta_sum);
    }
    __syncthreads();
  }

  if (!kOutput && view.in_range(p)) {
    store_vec<acc_t, S::kStates>(p.carry_local + view.state_offset(p, slot), state);
    if (view.lane == 0 && view.state_block == 0) p.delta_sum[slot * p.channels + view.first_channel + view.channel] = delta_sum;
  }
}

}  // namespace cuda
}  // namespace mmavs
