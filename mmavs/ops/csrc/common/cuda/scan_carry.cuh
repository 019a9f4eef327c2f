// The two small kernels around a scan: entering states of the segments, and sums of slices in a fixed order.
#pragma once

#include "scan_params.cuh"

namespace mmavs {
namespace cuda {

constexpr int kSmallBlock = 256;

// One thread per (clip, order, state block, channel, state). Forward: carry_in[i + 1] = carry_local[i] +
// exp(A delta_sum[i]) carry_in[i] from the first segment on; backward (kReverse): the same from the last one down.
template <typename acc_t, bool kReverse>
__global__ void __launch_bounds__(kSmallBlock) carry_kernel(const ScanParams<acc_t> p) {
  const int64_t row = static_cast<int64_t>(p.state_blocks) * p.channels * p.padded;   // states of a segment
  const int64_t item = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (item >= row * p.batch * p.orders) return;
  const int64_t bk = item / row;
  const int64_t state = item % row;
  const int n = static_cast<int>(state / p.padded / p.channels * p.padded + state % p.padded);
  const int64_t channel = state / p.padded % p.channels;
  const int64_t row_of_A = (bk % p.orders) * p.channels + channel;
  const acc_t decay = n < p.states ? p.A[row_of_A * p.states + n] * acc_t(kLog2e) : acc_t(0);
  const acc_t* __restrict__ local = p.carry_local;   // restrict: the loads of all segments may run ahead of the stores
  const acc_t* __restrict__ delta_sum = p.delta_sum;
  acc_t* __restrict__ entering = p.carry_in;
  acc_t h = acc_t(0);
#pragma unroll 8
  for (int i = 0; i < p.segments; ++i) {
    const int64_t slot = bk * p.segments + (kReverse ? p.segments - 1 - i : i);
    entering[slot * row + state] = h;
    if (i + 1 < p.segments)   // the last one walked leads nowhere: its end was not computed
      h = fused(exp2_fast(decay * delta_sum[slot * p.channels + channel]), h, local[slot * row + state]);
  }
}

// out[o, j] = sum over i of slices[o, i, j], i ascending.
template <typename acc_t>
__global__ void __launch_bounds__(kSmallBlock)
    sum_slices_kernel(const acc_t* __restrict__ slices, acc_t* __restrict__ out, int64_t outer, int64_t count,
                      int64_t size) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t k = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; k < outer * size; k += stride) {
    const int64_t o = outer == 1 ? 0 : k / size;
    const acc_t* source = slices + o * count * size + (k - o * size);
    acc_t sum = acc_t(0);
#pragma unroll 8
    for (int64_t i = 0; i < count; ++i) sum += source[i * size];
    out[k] = sum;
  }
}

}  // namespace cuda
}  // namespace mmavs
