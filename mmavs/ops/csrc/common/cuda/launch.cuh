// Host side, still without torch: one call runs a whole forward or backward pass. Nothing waits for the device.
#pragma once

#include "api.cuh"
#include "plan.cuh"

namespace mmavs {
namespace cuda {

template <bool kReverse, typename acc_t>
void launch_carry(const ScanParams<acc_t>& p, cudaStream_t stream) {
  const int64_t items = carry_size(p) / p.segments;
  MMAVS_LAUNCH((carry_kernel<acc_t, kReverse>), (items + kSmallBlock - 1) / kSmallBlock, kSmallBlock, 0, stream, p);
}

// out[o, j] = sum over i < count of slices[o, i, j]. Nothing to do where the kernel wrote to `out` itself.
template <typename acc_t>
void launch_sum(const acc_t* slices, acc_t* out, int64_t outer, int64_t count, int64_t size, cudaStream_t stream) {
  if (out == nullptr || slices == out || outer * size == 0) return;
  const int64_t blocks = (outer * size + kSmallBlock - 1) / kSmallBlock;
  MMAVS_LAUNCH((sum_slices_kernel<acc_t>), blocks < 65536 ? blocks : 65536, kSmallBlock, 0, stream, slices, out, outer,
               count, size);
}

template <typename acc_t>
void allocate_carry(ScanParams<acc_t>& p, const Allocator<acc_t>& allocate) {
  if (p.segments == 1) return;
  p.carry_local = allocate(carry_size(p));
  p.carry_in = allocate(carry_size(p));
  p.delta_sum = allocate(static_cast<int64_t>(p.batch) * p.orders * p.segments * p.channels);
}

template <typename scalar_t, typename acc_t>
cudaError_t run_forward(ScanParams<acc_t> p, bool merge, acc_t* out, const Allocator<acc_t>& allocate,
                        cudaStream_t stream) {
  cudaError_t error = plan_forward<scalar_t>(p);
  if (error != cudaSuccess) return error;
  allocate_carry(p, allocate);
  const int64_t outer = merge ? 1 : p.orders;
  const int64_t count = static_cast<int64_t>(p.orders) * p.state_blocks / outer;
  const int64_t size = static_cast<int64_t>(p.batch) * p.y_length * p.channels;
  p.y_slices = count == 1 ? out : allocate(outer * count * size);
  return dispatch_padded(p.padded, [&](auto shape) {
    using S = decltype(shape);
    const size_t bytes = ForwardShared<S::kN, acc_t>::bytes(p.rank);
    if (p.segments > 1) {
      MMAVS_LAUNCH((scan_forward_kernel<scalar_t, S::kN, false>), grid_size(p), 128, bytes, stream, p);
      launch_carry<false>(p, stream);
    }
    MMAVS_LAUNCH((scan_forward_kernel<scalar_t, S::kN, true>), grid_size(p), 128, bytes, stream, p);
    launch_sum<acc_t>(p.y_slices, out, outer, count, size, stream);
    return cudaGetLastError();
  });
}

template <typename scalar_t, typename acc_t>
cudaError_t run_backward(ScanParams<acc_t> p, bool merge, const Gradients<acc_t>& out,
                         const Allocator<acc_t>& allocate, cudaStream_t stream) {
  cudaError_t error = plan_backward<scalar_t>(p);
  if (error != cudaSuccess) return error;
  allocate_carry(p, allocate);
  const auto slices = [&](acc_t* target, int64_t count, int64_t size) {
    return target == nullptr || count == 1 ? target : allocate(count * size);
  };
  const int64_t rows = static_cast<int64_t>(p.orders) * p.channels;
  const int64_t tokens = static_cast<int64_t>(p.batch) * p.length;
  const int64_t outer = merge ? 1 : p.orders;
  const int64_t per_order = static_cast<int64_t>(p.orders) * p.state_blocks;
  const int64_t per_delta = p.rank > 0 ? static_cast<int64_t>(p.channel_blocks) * p.state_blocks : p.state_blocks;
  const int64_t delta_size = tokens * p.orders * (p.rank > 0 ? p.rank : p.channels);
  const int64_t state_size = tokens * p.orders * p.states;
  const int64_t walks = static_cast<int64_t>(p.segments) * p.batch;
  p.du_slices = per_order == outer ? out.u : allocate(per_order * tokens * p.channels);
  p.ddelta_slices = slices(out.delta, per_delta, delta_size);
  p.dB_slices = slices(out.B, p.channel_blocks, state_size);
  p.dC_slices = slices(out.C, p.channel_blocks, state_size);
  p.dA_slices = slices(out.A, walks, rows * p.states);
  p.dD_slices = slices(out.D, walks, rows);
  p.dbias_slices = slices(out.bias, walks * p.state_blocks, rows);
  p.dweight_slices = slices(out.weight, walks * p.state_blocks, rows * p.rank);
  return dispatch_padded(p.padded, [&](auto shape) {
    using S = decltype(shape);
    if (p.segments > 1) {
      const size_t bytes = ForwardShared<S::kN, acc_t>::bytes(p.rank);
      MMAVS_LAUNCH((scan_adjoint_kernel<scalar_t, S::kN>), grid_size(p), 128, bytes, stream, p);
      launch_carry<true>(p, stream);
    }
    const size_t bytes = BackwardShared<S::kN, acc_t>::bytes(p.rank);
    MMAVS_LAUNCH((scan_backward_kernel<scalar_t, S::kN>), grid_size(p), 128, bytes, stream, p);
    launch_sum<acc_t>(p.du_slices, out.u, outer, per_order / outer, tokens * p.channels, stream);
    launch_sum<acc_t>(p.ddelta_slices, out.delta, 1, per_delta, delta_size, stream);
    launch_sum<acc_t>(p.dB_slices, out.B, 1, p.channel_blocks, state_size, stream);
    launch_sum<acc_t>(p.dC_slices, out.C, 1, p.channel_blocks, state_size, stream);
    launch_sum<acc_t>(p.dA_slices, out.A, 1, walks, rows * p.states, stream);
    launch_sum<acc_t>(p.dD_slices, out.D, 1, walks, rows, stream);
    launch_sum<acc_t>(p.dbias_slices, out.bias, 1, walks * p.state_blocks, rows, stream);
    launch_sum<acc_t>(p.dweight_slices, out.weight, 1, walks * p.state_blocks, rows * p.rank, stream);
    return cudaGetLastError();
  });
}

}  // namespace cuda
}  // namespace mmavs
