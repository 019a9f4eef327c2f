// Forward: scan of one segment of one order by one block, either to its end state only or with outputs.
#pragma once

#include "scan_tile.cuh"

namespace mmavs {
namespace cuda {

// Shared memory of a forward block: rows of B, C and delta's factor, tiles of delta (later y) and u, and the positions
// of two tiles.
template <int kPadded, typename acc_t>
struct ForwardShared {
  using S = Shape<kPadded>;
  acc_t *B, *C, *factor, *delta, *u;
  int* position;

  __device__ ForwardShared(unsigned char* memory, int rank) {
    B = reinterpret_cast<acc_t*>(memory);
    C = B + S::kTile * S::kN;
    factor = C + S::kTile * S::kN;
    delta = factor + S::kTile * padded_rank(rank);
    u = delta + S::kTile * S::kRow;
    position = reinterpret_cast<int*>(u + S::kTile * S::kRow);
  }

  static __host__ __device__ size_t bytes(int rank) {
    return sizeof(acc_t) * S::kTile * (2 * S::kN + padded_rank(rank) + 2 * S::kRow) + sizeof(int) * 2 * S::kTile;
  }
};

// What the scan needs of kGroup consecutive tokens, in registers. Loads come before the stores of the group before:
// the compiler may not move a load over a store to shared memory, and waiting for each would cost 30 cycles a token.
template <int kPadded, typename acc_t>
struct TokenGroup {
  using S = Shape<kPadded>;
  static constexpr int kGroup = S::kGroup;
  acc_t delta[kGroup], value[kGroup];   // value: u, or dy on the way back
  Vec<acc_t, S::kStates> B[kGroup];

  __device__ __forceinline__ void load(const BlockView<kPadded>& view, const acc_t* sDelta, const acc_t* sValue,
                                       const acc_t* sB, int t) {
#pragma unroll
    for (int j = 0; j < kGroup; ++j) {
      delta[j] = sDelta[(t + j) * S::kRow + view.channel];
      value[j] = sValue[(t + j) * S::kRow + view.channel];
      B[j] = load_vec<acc_t, S::kStates>(sB + (t + j) * S::kN + view.lane * S::kStates);
    }
  }

  // h <- exp(delta A) h + delta u B for the j-th token.
  __device__ __forceinline__ void advance(int j, const acc_t (&decay)[S::kStates], acc_t (&h)[S::kStates]) const {
    const acc_t x = delta[j] * value[j];
#pragma unroll
    for (int s = 0; s < S::kStates; ++s) h[s] = fused(exp2_fast(delta[j] * decay[s]), h[s], x * B[j].v[s]);
  }
};

// The tokens of a tile, with y = C h written over delta: all lanes of a channel have used delta[t] before y[t] exists.
template <int kPadded, bool kOutput, typename acc_t>
__device__ __forceinline__ void scan_tile(const BlockView<kPadded>& view, const ForwardShared<kPadded, acc_t>& shared,
                                          const acc_t (&decay)[Shape<kPadded>::kStates],
                                          acc_t (&h)[Shape<kPadded>::kStates], acc_t& delta_sum) {
  using S = Shape<kPadded>;
  constexpr int kGroup = S::kGroup;
  TokenGroup<kPadded, acc_t> group;
  group.load(view, shared.delta, shared.u, shared.B, 0);
#pragma unroll 2
  for (int t = 0; t < S::kTile; t += kGroup) {
    TokenGroup<kPadded, acc_t> next = group;
    if (t + kGroup < S::kTile) next.load(view, shared.delta, shared.u, shared.B, t + kGroup);
    acc_t y[kGroup];
#pragma unroll
    for (int j = 0; j < kGroup; ++j) {
      group.advance(j, decay, h);
      if (!kOutput) delta_sum += group.delta[j];
      if (!kOutput) continue;
      const Vec<acc_t, S::kStates> c =
          load_vec<acc_t, S::kStates>(shared.C + (t + j) * S::kN + view.lane * S::kStates);
      y[j] = acc_t(0);
#pragma unroll
      for (int s = 0; s < S::kStates; ++s) y[j] = fused(c.v[s], h[s], y[j]);
    }
    if (kOutput) {
#pragma unroll
      for (int j = 0; j < kGroup; ++j) {
        y[j] = sum_lanes<S::kLanes>(y[j]);
        if (view.lane == 0) shared.delta[(t + j) * S::kRow + view.channel] = y[j];
      }
    }
    group = next;
  }
}

// y + D u of this thread's elements to the slice of this order and state block, in natural order.
template <int kPadded, typename acc_t>
__device__ __forceinline__ void store_output(const ScanParams<acc_t>& p, const BlockView<kPadded>& view,
                                             const ForwardShared<kPadded, acc_t>& shared, const int* position) {
  using S = Shape<kPadded>;
  const int channel = view.first_channel + view.column;
  if (channel >= p.channels) return;
  const bool with_D = p.D && view.state_block == 0;
  const acc_t D = with_D ? p.D[static_cast<int64_t>(view.order) * p.channels + channel] : acc_t(0);
  const int64_t slice = static_cast<int64_t>(view.order) * p.state_blocks + view.state_block;
  acc_t* target = p.y_slices + (slice * p.batch + view.batch) * p.y_length * p.channels + channel;
#pragma unroll 4
  for (int i = 0; i < S::kPerThread; ++i) {
    const int t = view.row + i * S::kLanes;
    const int cell = t * S::kRow + view.column;
    if (is_wanted(p, position[t]))
      target[static_cast<int64_t>(position[t] - p.y_start) * p.channels] = fused(D, shared.u[cell], shared.delta[cell]);
  }
}

// States of this thread between registers and rows of p.channels elements, one per state.
template <int kPadded, typename acc_t>
__device__ __forceinline__ void save_states(const ScanParams<acc_t>& p, const BlockView<kPadded>& view, int64_t stride,
                                            const acc_t (&h)[Shape<kPadded>::kStates], acc_t* target) {
#pragma unroll
  for (int s = 0; s < Shape<kPadded>::kStates; ++s)
    if (view.in_range(p) && view.first_state() + s < p.states) target[s * stride] = h[s];
}

// kOutput = false: states at the end of the segment from a zero start, and the sum of delta (not for the last segment).
// kOutput = true: outputs, and where wanted the state before each tile and after the last token.
template <typename scalar_t, int kPadded, bool kOutput>
__global__ void __launch_bounds__(128, 4)
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
  if (kOutput && p.segments > 1 && view.in_range(p))
    state = load_vec<acc_t, S::kStates>(p.carry_in + view.carry_offset(p));
  acc_t delta_sum = acc_t(0);
  const scalar_t* B = static_cast<const scalar_t*>(p.Bm) + view.batch * p.b_batch + view.order * p.b_order;
  const scalar_t* C = static_cast<const scalar_t*>(p.Cm) + view.batch * p.c_batch + view.order * p.c_order;

  fetch_positions<kPadded>(p, view, view.begin, shared.position);
  __syncthreads();
  for (int first = view.begin; first < view.end; first += S::kTile) {
    const int buffer = (first - view.begin) / S::kTile % 2;
    const int* position = shared.position + buffer * S::kTile;
    fetch_positions<kPadded>(p, view, first + S::kTile, shared.position + (1 - buffer) * S::kTile);
    acc_t u[S::kPerThread];
    load_tokens<kPadded, scalar_t>(p, view, position, u);
    load_states<kPadded>(p, view, position, B, p.b_token, shared.B);
    bool wanted = false;
    if (kOutput) {
      load_states<kPadded>(p, view, position, C, p.c_token, shared.C);
      if (p.saved) save_states<kPadded>(p, view, p.channels, state.v, p.saved + view.saved_offset(p, first));
      wanted = threadIdx.x < S::kTile && is_wanted(p, position[threadIdx.x % S::kTile]);
    }
    load_factor<kPadded, scalar_t>(p, view, position, shared.factor);
    store_tile<kPadded>(view, u, shared.u);
    load_delta<kPadded, scalar_t>(p, view, position, shared.factor, shared.delta);
    // A tile whose tokens are all outside [y_start, y_start + y_length) only moves the state on.
    if (__syncthreads_or(wanted)) {
      scan_tile<kPadded, true>(view, shared, decay, state.v, delta_sum);
      __syncthreads();
      store_output<kPadded>(p, view, shared, position);
    } else {
      scan_tile<kPadded, false>(view, shared, decay, state.v, delta_sum);
    }
    __syncthreads();
  }

  if (!kOutput && view.in_range(p)) {
    store_vec<acc_t, S::kStates>(p.carry_local + view.carry_offset(p), state);
    const int64_t slot = static_cast<int64_t>(view.bk) * p.segments + view.segment;
    if (view.lane == 0 && view.state_block == 0)
      p.delta_sum[slot * p.channels + view.first_channel + view.channel] = delta_sum;
  }
  if (kOutput && p.last && view.segment == p.segments - 1) {
    const int64_t row = static_cast<int64_t>(view.bk) * p.channels + view.first_channel + view.channel;
    save_states<kPadded>(p, view, 1, state.v, p.last + row * p.states + view.first_state());
  }
}

}  // namespace cuda
}  // namespace mmavs
