// Loading of one tile of tokens from global into shared memory. Tokens past the end of the segment get delta = 0 and
// zero rows: their decay is 1 and they add nothing, so the scan loops need no bounds check.
#pragma once

#include "scan_params.cuh"

namespace mmavs {
namespace cuda {

__host__ __device__ inline int padded_rank(int rank) { return (rank + 3) / 4 * 4; }

// Natural positions of the 16 tokens whose elements this thread loads; -1 past the end.
template <int kPadded, typename acc_t>
__device__ __forceinline__ void load_positions(const ScanParams<acc_t>& p, const BlockView<kPadded>& view, int first,
                                               int (&position)[16], int* sPosition) {
  using S = Shape<kPadded>;
  const int* index = p.index + static_cast<int64_t>(view.order) * p.length + first;
#pragma unroll
  for (int i = 0; i < 16; ++i) {
    const int t = view.row + i * S::kLanes;
    position[i] = first + t < view.end ? index[t] : -1;
    if (view.column == 0) sPosition[t] = position[i];
  }
}

// Rows of B or C of the block's states.
template <int kPadded, typename scalar_t, typename acc_t>
__device__ __forceinline__ void load_states(const ScanParams<acc_t>& p, const BlockView<kPadded>& view, int first,
                                            const scalar_t* source, int64_t token_stride, acc_t* target) {
  using S = Shape<kPadded>;
  const int* index = p.index + static_cast<int64_t>(view.order) * p.length + first;
#pragma unroll
  for (int e = static_cast<int>(threadIdx.x); e < S::kTile * S::kN; e += S::kThreads) {
    const int t = e / S::kN;
    const int n = view.state_block * S::kN + e % S::kN;
    const bool valid = first + t < view.end && n < p.states;
    target[e] = valid ? load_scalar(source + index[t] * token_stride + n) : acc_t(0);
  }
}

// Rows of the low-rank factor of delta, padded with zeros to a multiple of 4.
template <int kPadded, typename scalar_t, typename acc_t>
__device__ __forceinline__ void load_factor(const ScanParams<acc_t>& p, const BlockView<kPadded>& view, int first,
                                            const scalar_t* source, acc_t* target) {
  using S = Shape<kPadded>;
  const int* index = p.index + static_cast<int64_t>(view.order) * p.length + first;
  const int width = padded_rank(p.rank);
  for (int e = static_cast<int>(threadIdx.x); e < S::kTile * width; e += S::kThreads) {
    const int t = e / width;
    const int r = e % width;
    const bool valid = first + t < view.end && r < p.rank;
    target[e] = valid ? load_scalar(source + index[t] * p.delta_token + r) : acc_t(0);
  }
}

// raw += factor @ weight for this thread's channel. A row of the factor is one broadcast, a row of the weight one line.
template <int kPadded, typename acc_t>
__device__ __forceinline__ void expand_factor(const ScanParams<acc_t>& p, const BlockView<kPadded>& view, bool valid,
                                              const acc_t* sFactor, acc_t (&raw)[16]) {
  using S = Shape<kPadded>;
  const int width = padded_rank(p.rank);
  const int channel = view.first_channel + view.column;
  const acc_t* weight = p.weight + static_cast<int64_t>(view.order) * p.rank * p.channels + channel;
  for (int r = 0; r < width; r += 4) {
    acc_t w[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) w[j] = valid && r + j < p.rank ? weight[static_cast<int64_t>(r + j) * p.channels] : acc_t(0);
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      const Vec<acc_t, 4> f = load_vec<acc_t, 4>(sFactor + (view.row + i * S::kLanes) * width + r);
#pragma unroll
      for (int j = 0; j < 4; ++j) raw[i] = fused(f.v[j], w[j], raw[i]);
    }
  }
}

// delta of this thread's 16 elements after bias and softplus; sFactor is used (and the block synchronised) when R > 0.
template <int kPadded, typename scalar_t, typename acc_t>
__device__ __forceinline__ void load_delta(const ScanParams<acc_t>& p, const BlockView<kPadded>& view, int first,
                                           const int (&position)[16], acc_t* sFactor, acc_t (&delta)[16]) {
  const int channel = view.first_channel + view.column;
  const bool valid = channel < p.channels;
  const scalar_t* source = static_cast<const scalar_t*>(p.delta) + view.batch * p.delta_batch +
                           view.order * p.delta_order;
  if (p.rank > 0) {
    load_factor<kPadded, scalar_t>(p, view, first, source, sFactor);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 16; ++i) delta[i] = acc_t(0);
    expand_factor<kPadded>(p, view, valid, sFactor, delta);
  } else {
#pragma unroll
    for (int i = 0; i < 16; ++i)
      delta[i] = valid && position[i] >= 0 ? load_scalar(source + position[i] * p.delta_token + channel) : acc_t(0);
  }
  const acc_t bias = valid && p.delta_bias ? p.delta_bias[static_cast<int64_t>(view.order) * p.channels + channel]
                                           : acc_t(0);
#pragma unroll
  for (int i = 0; i < 16; ++i) {
    const acc_t raw = delta[i] + bias;
    const acc_t value = p.delta_softplus ? softplus(raw) : raw;
    delta[i] = valid && position[i] >= 0 ? value : acc_t(0);
  }
}

// Elements of a (B, L, C) tensor of type T (u); 0 past the end.
template <int kPadded, typename T, typename acc_t>
__device__ __forceinline__ void load_tokens(const ScanParams<acc_t>& p, const BlockView<kPadded>& view,
                                            const int (&position)[16], acc_t (&value)[16]) {
  const int channel = view.first_channel + view.column;
  const T* source = static_cast<const T*>(p.u) + view.batch * p.u_batch + channel;
#pragma unroll
  for (int i = 0; i < 16; ++i)
    value[i] = channel < p.channels && position[i] >= 0 ? load_scalar(source + position[i] * p.u_token) : acc_t(0);
}

// Elements of dout; 0 outside [y_start, y_start + y_length) and past the end.
template <int kPadded, typename acc_t>
__device__ __forceinline__ void load_dout(const ScanParams<acc_t>& p, const BlockView<kPadded>& view,
                                          const int (&position)[16], acc_t (&value)[16]) {
  const int channel = view.first_channel + view.column;
  const acc_t* source = p.dout + static_cast<int64_t>(view.batch) * p.y_length * p.channels + channel;
#pragma unroll
  for (int i = 0; i < 16; ++i) {
    const int y = position[i] - p.y_start;
    const bool valid = channel < p.channels && position[i] >= 0 && y >= 0 && y < p.y_length;
    value[i] = valid ? source[static_cast<int64_t>(y) * p.channels] : acc_t(0);
  }
}

// Store this thread's 16 elements into a padded (token, channel) tile.
template <int kPadded, typename acc_t>
__device__ __forceinline__ void store_tile(const BlockView<kPadded>& view, const acc_t (&value)[16], acc_t* tile) {
  using S = Shape<kPadded>;
#pragma unroll
  for (int i = 0; i < 16; ++i) tile[(view.row + i * S::kLanes) * S::kRow + view.column] = value[i];
}

}  // namespace cuda
}  // namespace mmavs
