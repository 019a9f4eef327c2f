// Shared memory of a backward block, and the sums over its channels or tokens that give dB, dC and the gradients of a
// low-rank delta. Sums go through shared memory: one vector load and four multiply-adds per four terms, where a
// butterfly of shuffles would take three instructions per term.
#pragma once

#include "scan_forward.cuh"

namespace mmavs {
namespace cuda {

template <int kPadded, typename acc_t>
struct BackwardShared {
  using S = Shape<kPadded>;
  static constexpr int kSubs = S::kTile / S::kSub;   // sub-tiles of a tile
  // A row of the states of all threads; padded for short vectors, whose lanes would otherwise meet in one bank.
  static constexpr int kStateRow = S::kThreads * S::kStates + (S::kStates < 4 ? 8 * S::kStates : 0);
  acc_t *h, *start, *B, *C, *factor, *weight, *dweight;      // vectors first: they need 16-byte alignment
  acc_t *delta, *u, *dy;                                     // (kTile, kRow)
  acc_t *sum_B, *sum_A;                                      // (kSub, kRow)
  int* position;

  __device__ BackwardShared(unsigned char* memory, int rank) {
    const int width = padded_rank(rank);
    h = reinterpret_cast<acc_t*>(memory);
    start = h + S::kSub * kStateRow;
    B = start + kSubs * kStateRow;
    C = B + S::kTile * S::kN;
    factor = C + S::kTile * S::kN;
    weight = factor + S::kTile * width;
    dweight = weight + S::kChannels * width;
    delta = dweight + S::kChannels * width;
    u = delta + S::kTile * S::kRow;
    dy = u + S::kTile * S::kRow;
    sum_B = dy + S::kTile * S::kRow;
    sum_A = sum_B + S::kSub * S::kRow;
    position = reinterpret_cast<int*>(sum_A + S::kSub * S::kRow);
  }

  static __host__ __device__ size_t bytes(int rank) {
    const int width = padded_rank(rank);
    const size_t elements = (S::kSub + kSubs) * kStateRow + 2 * S::kTile * S::kN + S::kTile * width +
                            2 * S::kChannels * width + 3 * S::kTile * S::kRow + 2 * S::kSub * S::kRow;
    return sizeof(acc_t) * elements + sizeof(int) * 2 * S::kTile;
  }
};

// What a state counts for in the gradient of C (dy) and of B (delta * u), by cell of a tile.
template <typename acc_t>
struct DyWeight {
  const acc_t* dy;
  __device__ __forceinline__ acc_t operator()(int cell) const { return dy[cell]; }
};

template <typename acc_t>
struct StepWeight {
  const acc_t *delta, *u;
  __device__ __forceinline__ acc_t operator()(int cell) const { return delta[cell] * u[cell]; }
};

// Gradient of B or C at the 16 tokens of a sub-tile: sum over channels of weight[t, c] * states[t, c, n]. 8 / kLanes
// neighbouring threads share a vector of states and split the channels.
template <int kPadded, typename Weight, typename acc_t>
__device__ __forceinline__ void sum_channels(const ScanParams<acc_t>& p, const BlockView<kPadded>& view,
                                             const Weight& weight, const acc_t* states, const int* position,
                                             acc_t* slices) {
  using S = Shape<kPadded>;
  constexpr int kParts = 8 / S::kLanes;
  const int item = static_cast<int>(threadIdx.x) / kParts;
  const int part = static_cast<int>(threadIdx.x) % kParts;
  const int t = item / S::kLanes;
  const int lane = item % S::kLanes;
  const acc_t* vector = states + t * BackwardShared<kPadded, acc_t>::kStateRow + lane * S::kStates;
  acc_t sum[S::kStates];
#pragma unroll
  for (int s = 0; s < S::kStates; ++s) sum[s] = acc_t(0);
#pragma unroll 8
  for (int i = 0; i < S::kChannels / kParts; ++i) {
    const int c = i * kParts + part;
    const acc_t w = weight(t * S::kRow + c);
    const Vec<acc_t, S::kStates> value = load_vec<acc_t, S::kStates>(vector + c * S::kN);
#pragma unroll
    for (int s = 0; s < S::kStates; ++s) sum[s] = fused(w, value.v[s], sum[s]);
  }
#pragma unroll
  for (int s = 0; s < S::kStates; ++s) sum[s] = sum_lanes<kParts>(sum[s]);
  if (part != 0 || position[t] < 0) return;
  const int64_t slot = static_cast<int64_t>(view.channel_block) * p.batch * p.orders + view.bk;
  acc_t* target = slices + (slot * p.length + position[t]) * p.states;
#pragma unroll
  for (int s = 0; s < S::kStates; ++s) {
    const int n = view.state_block * S::kN + lane * S::kStates + s;
    if (n < p.states) target[n] = sum[s];
  }
}

// Gradient of the low-rank factor at the 16 tokens: sum over channels of ddelta[t, c] * weight[c, r], four r a thread,
// two threads a sum.
template <int kPadded, typename acc_t>
__device__ __forceinline__ void sum_factor(const ScanParams<acc_t>& p, const BlockView<kPadded>& view,
                                           const BackwardShared<kPadded, acc_t>& shared, const int* position) {
  using S = Shape<kPadded>;
  const int width = padded_rank(p.rank);
  const int part = static_cast<int>(threadIdx.x) % 2;
  const int64_t slice = static_cast<int64_t>(view.channel_block) * p.state_blocks + view.state_block;
  acc_t* slices = p.ddelta_slices + (slice * p.batch * p.orders + view.bk) * p.length * p.rank;
  for (int item = static_cast<int>(threadIdx.x) / 2; item < S::kSub * width / 4; item += S::kThreads / 2) {
    const int t = item / (width / 4);
    const int r = item % (width / 4) * 4;
    acc_t sum[4] = {acc_t(0), acc_t(0), acc_t(0), acc_t(0)};
#pragma unroll 4
    for (int c = part; c < S::kChannels; c += 2) {
      const acc_t d = shared.sum_A[t * S::kRow + c];
      const Vec<acc_t, 4> w = load_vec<acc_t, 4>(shared.weight + c * width + r);
#pragma unroll
      for (int j = 0; j < 4; ++j) sum[j] = fused(d, w.v[j], sum[j]);
    }
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      sum[j] = sum_lanes<2>(sum[j]);
      if (part == 0 && position[t] >= 0 && r + j < p.rank)
        slices[static_cast<int64_t>(position[t]) * p.rank + r + j] = sum[j];
    }
  }
}

// dweight[c, r] += sum over the 16 tokens of ddelta[t, c] * factor[t, r]; a thread owns its cells all along a segment.
template <int kPadded, typename acc_t>
__device__ __forceinline__ void sum_weight(const ScanParams<acc_t>& p, const BlockView<kPadded>& view,
                                           const BackwardShared<kPadded, acc_t>& shared, const acc_t* factor) {
  using S = Shape<kPadded>;
  const int width = padded_rank(p.rank);
  for (int r = view.row * 4; r < width; r += 4 * S::kLanes) {
    acc_t sum[4] = {acc_t(0), acc_t(0), acc_t(0), acc_t(0)};
#pragma unroll
    for (int t = 0; t < S::kSub; ++t) {
      const acc_t d = shared.sum_A[t * S::kRow + view.column];
      const Vec<acc_t, 4> f = load_vec<acc_t, 4>(factor + t * width + r);
#pragma unroll
      for (int j = 0; j < 4; ++j) sum[j] = fused(d, f.v[j], sum[j]);
    }
    Vec<acc_t, 4> total = load_vec<acc_t, 4>(shared.dweight + view.column * width + r);
#pragma unroll
    for (int j = 0; j < 4; ++j) total.v[j] += sum[j];
    store_vec<acc_t, 4>(shared.dweight + view.column * width + r, total);
  }
}

}  // namespace cuda
}  // namespace mmavs
