// Loading of one tile of tokens from global into shared memory. Tokens past the end of the segment get delta = 0 and
// zero rows: their decay is 1 and they add nothing, so the scan loops need no bounds check.
//
// The positions of a tile are fetched one tile ahead, so a row load never waits for its index.
#pragma once

#include "scan_params.cuh"

namespace mmavs {
namespace cuda {

__host__ __device__ inline int padded_rank(int rank) { return (rank + 3) / 4 * 4; }

// Natural positions of the tokens of the tile at `first`; -1 outside the segment. Only the first kTile threads work.
template <int kPadded, typename acc_t>
__device__ __forceinline__ void fetch_positions(const ScanParams<acc_t>& p, const BlockView<kPadded>& view, int first,
                                                int* target) {
  const int t = static_cast<int>(threadIdx.x);
  if (t >= Shape<kPadded>::kTile) return;
  const bool valid = first + t >= view.begin && first + t < view.end;
  target[t] = !valid ? -1 : p.index ? p.index[static_cast<int64_t>(view.order) * p.length + first + t] : first + t;
}

// Rows of B or C of the block's states.
template <int kPadded, typename scalar_t, typename acc_t>
__device__ __forceinline__ void load_states(const ScanParams<acc_t>& p, const BlockView<kPadded>& view,
                                            const int* position, const scalar_t* source, int64_t token_stride,
                                            acc_t* target) {
  using S = Shape<kPadded>;
#pragma unroll
  for (int i = 0; i < (S::kTile * S::kN + S::kThreads - 1) / S::kThreads; ++i) {
    const int e = static_cast<int>(threadIdx.x) + i * S::kThreads;
    if (S::kTile * S::kN % S::kThreads != 0 && e >= S::kTile * S::kN) break;
    const int row = position[e / S::kN];
    const int n = view.state_block * S::kN + e % S::kN;
    target[e] = row >= 0 && n < p.states ? load_scalar(source + row * token_stride + n) : acc_t(0);
  }
}

// Rows of the low-rank factor of delta, padded with zeros to a multiple of 4; nothing for R = 0.
template <int kPadded, typename scalar_t, typename acc_t>
__device__ __forceinline__ void load_factor(const ScanParams<acc_t>& p, const BlockView<kPadded>& view,
                                            const int* position, acc_t* target) {
  using S = Shape<kPadded>;
  const scalar_t* source =
      static_cast<const scalar_t*>(p.delta) + view.batch * p.delta_batch + view.order * p.delta_order;
  const int width = padded_rank(p.rank);
#pragma unroll 4
  for (int e = static_cast<int>(threadIdx.x); e < S::kTile * width; e += S::kThreads) {
    const int row = position[e / width];
    const int r = e % width;
    target[e] = row >= 0 && r < p.rank ? load_scalar(source + row * p.delta_token + r) : acc_t(0);
  }
}

// tile = factor @ weight for this thread's channel, 16 columns of the factor at a time. A row of the factor is one
// broadcast, a row of the weight one line.
template <int kPadded, typename acc_t>
__device__ __forceinline__ void expand_factor(const ScanParams<acc_t>& p, const BlockView<kPadded>& view, bool valid,
                                              const acc_t* sFactor, acc_t* tile) {
  using S = Shape<kPadded>;
  constexpr int kColumns = 16;
  const int width = padded_rank(p.rank);
  const int channel = view.first_channel + view.column;
  const acc_t* weight = p.weight + static_cast<int64_t>(view.order) * p.rank * p.channels + channel;
#pragma unroll 1
  for (int first = 0; first < width; first += kColumns) {
    acc_t w[kColumns];
#pragma unroll
    for (int r = 0; r < kColumns; ++r)
      w[r] = valid && first + r < p.rank ? weight[static_cast<int64_t>(first + r) * p.channels] : acc_t(0);
#pragma unroll 2
    for (int i = 0; i < S::kPerThread; ++i) {
      const int t = view.row + i * S::kLanes;
      acc_t* cell = tile + t * S::kRow + view.column;
      acc_t sum = first > 0 ? *cell : acc_t(0);
#pragma unroll
      for (int r = 0; r < kColumns; r += 4) {
        if (first + r >= width) break;
        const Vec<acc_t, 4> f = load_vec<acc_t, 4>(sFactor + t * width + first + r);
#pragma unroll
        for (int j = 0; j < 4; ++j) sum = fused(f.v[j], w[r + j], sum);
      }
      *cell = sum;
    }
  }
}

// Store this thread's elements into a padded (token, channel) tile.
template <int kPadded, typename acc_t>
__device__ __forceinline__ void store_tile(const BlockView<kPadded>& view,
                                           const acc_t (&value)[Shape<kPadded>::kPerThread], acc_t* tile) {
  using S = Shape<kPadded>;
#pragma unroll
  for (int i = 0; i < S::kPerThread; ++i) tile[(view.row + i * S::kLanes) * S::kRow + view.column] = value[i];
}

// The tile of delta after bias and softplus; for R > 0 the factor must have arrived at sFactor in time for the barrier.
// Bias and softplus run in a loop over the stored tile: unrolled over registers they would be most of the kernel.
template <int kPadded, typename scalar_t, typename acc_t>
__device__ __forceinline__ void load_delta(const ScanParams<acc_t>& p, const BlockView<kPadded>& view,
                                           const int* position, const acc_t* sFactor, acc_t* tile) {
  using S = Shape<kPadded>;
  const int channel = view.first_channel + view.column;
  const bool valid = channel < p.channels;
  if (p.rank > 0) {
    __syncthreads();
    expand_factor<kPadded>(p, view, valid, sFactor, tile);
  } else {
    const scalar_t* source =
        static_cast<const scalar_t*>(p.delta) + view.batch * p.delta_batch + view.order * p.delta_order;
    acc_t raw[S::kPerThread];
#pragma unroll
    for (int i = 0; i < S::kPerThread; ++i) {
      const int row = position[view.row + i * S::kLanes];
      raw[i] = valid && row >= 0 ? load_scalar(source + row * p.delta_token + channel) : acc_t(0);
    }
    store_tile<kPadded>(view, raw, tile);
  }
  const bool biased = valid && p.delta_bias;
  const acc_t bias = biased ? p.delta_bias[static_cast<int64_t>(view.order) * p.channels + channel] : acc_t(0);
#pragma unroll 2
  for (int i = 0; i < S::kPerThread; ++i) {
    const int t = view.row + i * S::kLanes;
    acc_t* cell = tile + t * S::kRow + view.column;
    const acc_t step = *cell + bias;
    *cell = !valid || position[t] < 0 ? acc_t(0) : p.delta_softplus ? softplus(step) : step;
  }
}

// Elements of u; 0 past the end.
template <int kPadded, typename scalar_t, typename acc_t>
__device__ __forceinline__ void load_tokens(const ScanParams<acc_t>& p, const BlockView<kPadded>& view,
                                            const int* position, acc_t (&value)[Shape<kPadded>::kPerThread]) {
  using S = Shape<kPadded>;
  const int channel = view.first_channel + view.column;
  const scalar_t* source =
      static_cast<const scalar_t*>(p.u) + view.batch * p.u_batch + view.order * p.u_order + channel;
#pragma unroll
  for (int i = 0; i < S::kPerThread; ++i) {
    const int row = position[view.row + i * S::kLanes];
    value[i] = channel < p.channels && row >= 0 ? load_scalar(source + row * p.u_token) : acc_t(0);
  }
}

// Whether the output at a position is asked for; false for -1.
template <typename acc_t>
__device__ __forceinline__ bool is_wanted(const ScanParams<acc_t>& p, int position) {
  return position >= p.y_start && position - p.y_start < p.y_length && position >= 0;
}

// Elements of dout; 0 where no output was asked for.
template <int kPadded, typename acc_t>
__device__ __forceinline__ void load_dout(const ScanParams<acc_t>& p, const BlockView<kPadded>& view,
                                          const int* position, acc_t (&value)[Shape<kPadded>::kPerThread]) {
  using S = Shape<kPadded>;
  const int channel = view.first_channel + view.column;
  const acc_t* source = p.dout + view.batch * p.dout_batch + view.order * p.dout_order + channel;
#pragma unroll
  for (int i = 0; i < S::kPerThread; ++i) {
    const int row = position[view.row + i * S::kLanes];
    value[i] = channel < p.channels && is_wanted(p, row) ? source[(row - p.y_start) * p.dout_token] : acc_t(0);
  }
}

}  // namespace cuda
}  // namespace mmavs
