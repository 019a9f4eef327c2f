// What a binding calls: one forward and one backward pass of a scan, for scalar_t = float, double, BFloat16 and Half.
// The definitions are in launch.cuh; a source file per scalar type instantiates them, so that the types compile side by
// side.
#pragma once

#include <functional>

#include "scan_params.cuh"

namespace mmavs {
namespace cuda {

// Returns device memory for that many values of acc_t; it must live until the kernels on the stream have run.
template <typename acc_t>
using Allocator = std::function<acc_t*(int64_t)>;

// Where the gradients go; D, bias and weight may be null. weight has the layout of dt_weight, (K, C, R).
template <typename acc_t>
struct Gradients {
  acc_t *u, *delta, *A, *B, *C, *D, *bias, *weight;
};

// out is (B, y_length, C), the sum over orders; without `merge` (K, B, y_length, C). p holds all but plan and
// workspace. Every launch goes to `stream` of the current device; nothing waits for it.
template <typename scalar_t, typename acc_t>
cudaError_t run_forward(ScanParams<acc_t> p, bool merge, acc_t* out, const Allocator<acc_t>& allocate,
                        cudaStream_t stream);

// p.saved is what the forward pass saved; the gradient of u is laid out as `out` of run_forward.
template <typename scalar_t, typename acc_t>
cudaError_t run_backward(ScanParams<acc_t> p, bool merge, const Gradients<acc_t>& out,
                         const Allocator<acc_t>& allocate, cudaStream_t stream);

// Tokens between two saved states.
inline int saved_interval(int states) { return states > 8 ? 32 : 16; }

}  // namespace cuda
}  // namespace mmavs
