// Host side, still without torch: shape of the grid and number of segments.
#pragma once

#include "api.cuh"
#include "scan_adjoint.cuh"
#include "scan_backward.cuh"
#include "scan_carry.cuh"
#include "scan_forward.cuh"

#if defined(__CUDACC__)
#include <mutex>
#endif

namespace mmavs {
namespace cuda {

#if defined(__CUDACC__)
// Raises what a kernel may use of shared memory to `bytes`. It is never lowered: another thread may be about to launch
// the kernel for a higher rank.
template <typename Kernel>
cudaError_t allow_shared_memory(Kernel kernel, size_t bytes) {
  static std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  cudaFuncAttributes now;
  const cudaError_t error = cudaFuncGetAttributes(&now, kernel);
  if (error != cudaSuccess || now.maxDynamicSharedSizeBytes >= static_cast<int>(bytes)) return error;
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
}

// Lets a kernel use `bytes` of shared memory and returns how many of its blocks the whole device holds at a time.
template <typename Kernel>
cudaError_t prepare_kernel(Kernel kernel, size_t bytes, int* resident) {
  int device = 0;
  int processors = 0;
  int blocks = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess) error = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  if (error == cudaSuccess) error = allow_shared_memory(kernel, bytes);
  if (error == cudaSuccess) error = cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, 128, bytes);
  if (error == cudaSuccess && blocks == 0) error = cudaErrorInvalidConfiguration;
  *resident = blocks * processors;
  return error;
}
#endif

inline int ceil_divide(int a, int b) { return (a + b - 1) / b; }

// States of a block: the smallest power of two that holds them, 16 at most. In double 4 states would need more shared
// memory than most devices have, so they run as 8.
inline int padded_states(int states, bool is_double) {
  int padded = 1;
  while (padded < states && padded < kMaxBlockStates) padded *= 2;
  return is_double && padded == 4 ? 8 : padded;
}

// Calls function(Shape<padded>()).
template <typename Function>
cudaError_t dispatch_padded(int padded, Function&& function) {
  switch (padded) {
    case 1: return function(Shape<1>());
    case 2: return function(Shape<2>());
    case 4: return function(Shape<4>());
    case 8: return function(Shape<8>());
    default: return function(Shape<16>());
  }
}

// Fills what make_plan owes: p.segments comes from choose_segments, 1 until then.
template <typename acc_t>
void make_plan(ScanParams<acc_t>& p) {
  p.padded = padded_states(p.states, sizeof(acc_t) == 8);
  p.tile = saved_interval(p.states);
  p.tiles = ceil_divide(p.length, p.tile);
  p.state_blocks = ceil_divide(p.states, p.padded);
  p.channel_blocks = ceil_divide(p.channels, p.padded <= 4 ? 128 : 512 / p.padded);
  p.segments = 1;
  p.segment_length = p.tiles * p.tile;
}

// As many segments as one wave of blocks holds, of at least 4 tiles; 1 where fewer than `least` would be won: the local
// scan of all segments costs one exponential more per state, so a cut pays only if it fills much of an idle device.
template <typename acc_t>
void choose_segments(ScanParams<acc_t>& p, int resident, int least) {
  const int64_t blocks = static_cast<int64_t>(p.batch) * p.orders * p.channel_blocks * p.state_blocks;
  int64_t segments = resident / blocks;
  if (segments > p.tiles / 4) segments = p.tiles / 4;
  if (segments < least) segments = 1;
  const int tiles = ceil_divide(p.tiles, static_cast<int>(segments));
  p.segment_length = tiles * p.tile;
  p.segments = ceil_divide(p.tiles, tiles);
}

template <typename acc_t>
int64_t grid_size(const ScanParams<acc_t>& p) {
  return static_cast<int64_t>(p.batch) * p.orders * p.segments * p.channel_blocks * p.state_blocks;
}

// Elements of carry_local and of carry_in.
template <typename acc_t>
int64_t carry_size(const ScanParams<acc_t>& p) {
  return static_cast<int64_t>(p.batch) * p.orders * p.segments * p.state_blocks * p.channels * p.padded;
}

// Completes the plan for a forward or a backward launch on the current device.
template <typename scalar_t, typename acc_t>
cudaError_t plan_forward(ScanParams<acc_t>& p) {
  make_plan(p);
  return dispatch_padded(p.padded, [&](auto shape) {
    using S = decltype(shape);
    static_assert(S::kTile == (S::kN > 8 ? 32 : 16), "saved_interval");
    int resident = 0;
    const size_t bytes = ForwardShared<S::kN, acc_t>::bytes(p.rank);
    cudaError_t error = prepare_kernel(scan_forward_kernel<scalar_t, S::kN, false>, bytes, &resident);
    if (error == cudaSuccess) error = prepare_kernel(scan_forward_kernel<scalar_t, S::kN, true>, bytes, &resident);
    choose_segments(p, resident, 3);
    return error;
  });
}

template <typename scalar_t, typename acc_t>
cudaError_t plan_backward(ScanParams<acc_t>& p) {
  make_plan(p);
  return dispatch_padded(p.padded, [&](auto shape) {
    using S = decltype(shape);
    int resident = 0;
    cudaError_t error = prepare_kernel(scan_adjoint_kernel<scalar_t, S::kN>,
                                       ForwardShared<S::kN, acc_t>::bytes(p.rank), &resident);
    if (error == cudaSuccess)
      error = prepare_kernel(scan_backward_kernel<scalar_t, S::kN>, BackwardShared<S::kN, acc_t>::bytes(p.rank),
                             &resident);
    choose_segments(p, resident, 2);
    return error;
  });
}

}  // namespace cuda
}  // namespace mmavs
