// Backward proper. A block walks its segment from the last tile to the first. Per tile it moves the saved state on to
// the start of each sub-tile of 16 tokens; per sub-tile, last first, it scans forward keeping the 16 states in shared
// memory, sums dC, scans backward replacing each state by its adjoint, and sums dB and the gradients of u and delta.
#pragma once

#include "backward_shared.cuh"

namespace mmavs {
namespace cuda {

// Start states of the sub-tiles, from the state saved at the start of the tile. Each thread keeps its own column.
template <int kPadded, typename acc_t>
__device__ __forceinline__ void find_starts(const ScanParams<acc_t>& p, const BlockView<kPadded>& view, int first,
                                            const BackwardShared<kPadded, acc_t>& shared,
                                            const acc_t (&decay)[Shape<kPadded>::kStates]) {
  using S = Shape<kPadded>;
  constexpr int kStateRow = BackwardShared<kPadded, acc_t>::kStateRow;
  Vec<acc_t, S::kStates> h;
#pragma unroll
  for (int s = 0; s < S::kStates; ++s) h.v[s] = acc_t(0);
  const acc_t* saved = p.saved + view.saved_offset(p, first);
#pragma unroll
  for (int s = 0; s < S::kStates; ++s)
    if (view.in_range(p) && view.first_state() + s < p.states) h.v[s] = saved[static_cast<int64_t>(s) * p.channels];
  acc_t* column = shared.start + static_cast<int>(threadIdx.x) * S::kStates;
  store_vec<acc_t, S::kStates>(column, h);
  for (int sub = 0; sub + 1 < BackwardShared<kPadded, acc_t>::kSubs; ++sub) {
#pragma unroll 2
    for (int i = 0; i < S::kSub; i += S::kGroup) {
      TokenGroup<kPadded, acc_t> group;
      group.load(view, shared.delta, shared.u, shared.B, sub * S::kSub + i);
#pragma unroll
      for (int j = 0; j < S::kGroup; ++j) group.advance(j, decay, h.v);
    }
    store_vec<acc_t, S::kStates>(column + (sub + 1) * kStateRow, h);
  }
}

// States after each of the 16 tokens.
template <int kPadded, typename acc_t>
__device__ __forceinline__ void scan_states(const BlockView<kPadded>& view, int sub,
                                            const BackwardShared<kPadded, acc_t>& shared,
                                            const acc_t (&decay)[Shape<kPadded>::kStates]) {
  using S = Shape<kPadded>;
  constexpr int kStateRow = BackwardShared<kPadded, acc_t>::kStateRow;
  const int thread = static_cast<int>(threadIdx.x) * S::kStates;
  Vec<acc_t, S::kStates> h = load_vec<acc_t, S::kStates>(shared.start + sub * kStateRow + thread);
#pragma unroll 1
  for (int i = 0; i < S::kSub; i += S::kGroup) {
    TokenGroup<kPadded, acc_t> group;
    group.load(view, shared.delta, shared.u, shared.B, sub * S::kSub + i);
#pragma unroll
    for (int j = 0; j < S::kGroup; ++j) {
      group.advance(j, decay, h.v);
      store_vec<acc_t, S::kStates>(shared.h + (i + j) * kStateRow + thread, h);
    }
  }
}

// Adjoint g_t over the 16 tokens, last first; g arrives as exp(delta_{t+1} A) g_{t+1}. State row t is overwritten by
// g_t: row t - 1 is what token t still needs. sum_B = g.B, sum_A = sum of g exp(delta A) h_{t-1} A (times log2 e).
template <int kPadded, typename acc_t>
__device__ __forceinline__ void scan_adjoint(const BlockView<kPadded>& view, int sub,
                                             const BackwardShared<kPadded, acc_t>& shared,
                                             const acc_t (&decay)[Shape<kPadded>::kStates],
                                             acc_t (&g)[Shape<kPadded>::kStates],
                                             acc_t (&dA)[Shape<kPadded>::kStates]) {
  using S = Shape<kPadded>;
  using StateVec = Vec<acc_t, S::kStates>;
  constexpr int kStateRow = BackwardShared<kPadded, acc_t>::kStateRow;
  const int thread = static_cast<int>(threadIdx.x) * S::kStates;
  acc_t part[S::kStates];   // dA of 16 tokens apart from the total: a shorter chain of additions rounds less
#pragma unroll
  for (int s = 0; s < S::kStates; ++s) part[s] = acc_t(0);
#pragma unroll 1
  for (int i = S::kSub - S::kGroup; i >= 0; i -= S::kGroup) {
    const int t = sub * S::kSub + i;
    TokenGroup<kPadded, acc_t> group;
    group.load(view, shared.delta, shared.dy, shared.B, t);
    StateVec C[S::kGroup], before[S::kGroup];
#pragma unroll
    for (int j = 0; j < S::kGroup; ++j) {
      C[j] = load_vec<acc_t, S::kStates>(shared.C + (t + j) * S::kN + view.lane * S::kStates);
      const acc_t* row = i + j > 0 ? shared.h + (i + j - 1) * kStateRow : shared.start + sub * kStateRow;
      before[j] = load_vec<acc_t, S::kStates>(row + thread);
    }
#pragma unroll
    for (int j = S::kGroup - 1; j >= 0; --j) {
      acc_t sum_B = acc_t(0);
      acc_t sum_A = acc_t(0);
      StateVec adjoint;
#pragma unroll
      for (int s = 0; s < S::kStates; ++s) {
        adjoint.v[s] = fused(C[j].v[s], group.value[j], g[s]);
        g[s] = exp2_fast(group.delta[j] * decay[s]) * adjoint.v[s];
        const acc_t product = g[s] * before[j].v[s];
        sum_B = fused(adjoint.v[s], group.B[j].v[s], sum_B);
        sum_A = fused(product, decay[s], sum_A);
        part[s] = fused(product, group.delta[j], part[s]);
      }
      store_vec<acc_t, S::kStates>(shared.h + (i + j) * kStateRow + thread, adjoint);
      sum_B = sum_lanes<S::kLanes>(sum_B);
      sum_A = sum_lanes<S::kLanes>(sum_A);
      if (view.lane == 0) {
        shared.sum_B[(i + j) * S::kRow + view.channel] = sum_B;
        shared.sum_A[(i + j) * S::kRow + view.channel] = sum_A;
      }
    }
  }
#pragma unroll
  for (int s = 0; s < S::kStates; ++s) dA[s] += part[s];
}

// Gradients of u and delta at the 16 tokens; sum_A becomes the gradient of delta before softplus.
template <int kPadded, typename acc_t>
__device__ __forceinline__ void store_gradients(const ScanParams<acc_t>& p, const BlockView<kPadded>& view, int sub,
                                                const BackwardShared<kPadded, acc_t>& shared, const int* positions,
                                                acc_t D, acc_t& dD, acc_t& dbias) {
  using S = Shape<kPadded>;
  const int channel = view.first_channel + view.column;
  const int64_t u_slice = static_cast<int64_t>(view.order) * p.state_blocks + view.state_block;
  acc_t* du = p.du_slices + (u_slice * p.batch + view.batch) * p.length * p.channels + channel;
  const int64_t delta_slice = static_cast<int64_t>(view.state_block) * p.batch * p.orders + view.bk;
  acc_t* ddelta = p.ddelta_slices + delta_slice * p.length * p.channels + channel;
  acc_t part_D = acc_t(0);
  acc_t part_bias = acc_t(0);
#pragma unroll
  for (int i = 0; i < S::kSub / S::kLanes; ++i) {
    const int t = view.row + i * S::kLanes;
    const int cell = (sub * S::kSub + t) * S::kRow + view.column;
    const int small = t * S::kRow + view.column;
    const int position = positions[t];
    acc_t gradient = acc_t(0);
    if (position >= 0 && channel < p.channels) {
      const acc_t delta = shared.delta[cell];
      const acc_t dy = shared.dy[cell];
      const acc_t u = shared.u[cell];
      const acc_t sum_B = shared.sum_B[small];
      gradient = fused(u, sum_B, acc_t(kLn2) * shared.sum_A[small]);
      if (p.delta_softplus) gradient *= softplus_slope(delta);
      du[static_cast<int64_t>(position) * p.channels] = fused(delta, sum_B, D * dy);
      if (p.rank == 0) ddelta[static_cast<int64_t>(position) * p.channels] = gradient;
      part_D = fused(dy, u, part_D);
      part_bias += gradient;
    }
    shared.sum_A[small] = gradient;
  }
  dD += part_D;
  dbias += part_bias;
}

// Gradients that collect over the whole segment: A, D, delta_bias and the weight of the low-rank delta.
template <int kPadded, typename acc_t>
__device__ __forceinline__ void store_totals(const ScanParams<acc_t>& p, const BlockView<kPadded>& view,
                                             const BackwardShared<kPadded, acc_t>& shared,
                                             const acc_t (&dA)[Shape<kPadded>::kStates], acc_t dD, acc_t dbias) {
  using S = Shape<kPadded>;
  const int64_t rows = static_cast<int64_t>(p.orders) * p.channels;
  const int64_t first_row = static_cast<int64_t>(view.order) * p.channels + view.first_channel;
  const int64_t slice = static_cast<int64_t>(view.segment) * p.batch + view.batch;
  const int64_t fine_slice = slice * p.state_blocks + view.state_block;
  if (view.in_range(p)) {
#pragma unroll
    for (int s = 0; s < S::kStates; ++s) {
      const int n = view.first_state() + s;
      if (n < p.states) p.dA_slices[(slice * rows + first_row + view.channel) * p.states + n] = dA[s];
    }
  }
  shared.sum_B[view.row * S::kRow + view.column] = dD;
  shared.sum_A[view.row * S::kRow + view.column] = dbias;
  __syncthreads();
  if (view.row == 0 && view.first_channel + view.column < p.channels) {
    for (int i = 1; i < S::kLanes; ++i) {
      dD += shared.sum_B[i * S::kRow + view.column];
      dbias += shared.sum_A[i * S::kRow + view.column];
    }
    if (p.dD_slices && view.state_block == 0) p.dD_slices[slice * rows + first_row + view.column] = dD;
    if (p.dbias_slices) p.dbias_slices[fine_slice * rows + first_row + view.column] = dbias;
  }
  for (int e = static_cast<int>(threadIdx.x); e < S::kChannels * p.rank; e += S::kThreads) {
    const int c = e / p.rank;
    if (view.first_channel + c < p.channels)
      p.dweight_slices[(fine_slice * rows + first_row) * p.rank + e] =
          shared.dweight[c * padded_rank(p.rank) + e % p.rank];
  }
}

template <typename scalar_t, int kPadded>
__global__ void __launch_bounds__(128, 3)
    scan_backward_kernel(const ScanParams<typename AccumulateType<scalar_t>::type> p) {
  using acc_t = typename AccumulateType<scalar_t>::type;
  using S = Shape<kPadded>;
  MMAVS_SHARED(memory);
  const BackwardShared<kPadded, acc_t> shared(memory, p.rank);
  const BlockView<kPadded> view(p);
  const int channel = view.first_channel + view.column;
  const int width = padded_rank(p.rank);

  acc_t decay[S::kStates], dA[S::kStates];
  view.load_decay(p, decay);
  Vec<acc_t, S::kStates> g;
#pragma unroll
  for (int s = 0; s < S::kStates; ++s) g.v[s] = dA[s] = acc_t(0);
  if (p.segments > 1 && view.in_range(p))
    g = load_vec<acc_t, S::kStates>(p.carry_in + view.carry_offset(p));
  for (int r = view.row; r < width; r += S::kLanes) {
    const bool valid = channel < p.channels && r < p.rank;
    shared.weight[view.column * width + r] =
        valid ? p.weight[(static_cast<int64_t>(view.order) * p.rank + r) * p.channels + channel] : acc_t(0);
    shared.dweight[view.column * width + r] = acc_t(0);
  }
  const bool with_D = p.D && view.state_block == 0 && channel < p.channels;
  const acc_t D = with_D ? p.D[static_cast<int64_t>(view.order) * p.channels + channel] : acc_t(0);
  acc_t dD = acc_t(0);
  acc_t dbias = acc_t(0);
  const scalar_t* B = static_cast<const scalar_t*>(p.Bm) + view.batch * p.b_batch + view.order * p.b_order;
  const scalar_t* C = static_cast<const scalar_t*>(p.Cm) + view.batch * p.c_batch + view.order * p.c_order;

  const int tiles = (view.end - view.begin + S::kTile - 1) / S::kTile;
  fetch_positions<kPadded>(p, view, view.begin + (tiles - 1) * S::kTile, shared.position + (tiles - 1) % 2 * S::kTile);
  __syncthreads();
  for (int tile = tiles - 1; tile >= 0; --tile) {
    const int first = view.begin + tile * S::kTile;
    const int* tile_position = shared.position + tile % 2 * S::kTile;
    fetch_positions<kPadded>(p, view, first - S::kTile, shared.position + (tile + 1) % 2 * S::kTile);
    {
      acc_t u[S::kPerThread], dy[S::kPerThread];
      load_tokens<kPadded, scalar_t>(p, view, tile_position, u);
      load_dout<kPadded>(p, view, tile_position, dy);
      load_states<kPadded>(p, view, tile_position, B, p.b_token, shared.B);
      load_states<kPadded>(p, view, tile_position, C, p.c_token, shared.C);
      load_factor<kPadded, scalar_t>(p, view, tile_position, shared.factor);
      store_tile<kPadded>(view, u, shared.u);
      store_tile<kPadded>(view, dy, shared.dy);
      load_delta<kPadded, scalar_t>(p, view, tile_position, shared.factor, shared.delta);
    }
    __syncthreads();
    find_starts<kPadded>(p, view, first, shared, decay);
    for (int sub = BackwardShared<kPadded, acc_t>::kSubs - 1; sub >= 0; --sub) {
      if (first + sub * S::kSub >= view.end) continue;
      const int* position = tile_position + sub * S::kSub;
      const int tile_row = sub * S::kSub * S::kRow;
      scan_states<kPadded>(view, sub, shared, decay);
      __syncthreads();
      sum_channels<kPadded>(p, view, DyWeight<acc_t>{shared.dy + tile_row}, shared.h, position, p.dC_slices);
      __syncthreads();
      scan_adjoint<kPadded>(view, sub, shared, decay, g.v, dA);
      __syncthreads();
      sum_channels<kPadded>(p, view, StepWeight<acc_t>{shared.delta + tile_row, shared.u + tile_row}, shared.h,
                            position, p.dB_slices);
      store_gradients<kPadded>(p, view, sub, shared, position, D, dD, dbias);
      __syncthreads();
      if (p.rank > 0) {
        sum_factor<kPadded>(p, view, shared, position);
        sum_weight<kPadded>(p, view, shared, shared.factor + sub * S::kSub * width);
        __syncthreads();
      }
    }
  }
  store_totals<kPadded>(p, view, shared, dA, dD, dbias);
}

}  // namespace cuda
}  // namespace mmavs
