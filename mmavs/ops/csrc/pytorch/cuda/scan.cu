// CUDA implementations of the scan ops. The same inputs give the same bits in every run: there are no atomics.

#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <tuple>
#include <type_traits>

#include "inputs.h"

namespace mmavs {
namespace {

// Calls run(scalar) with a value of the tokens' type.
template <typename Run>
void dispatch_tokens(at::ScalarType type, const Run& run) {
  switch (type) {
    case at::kFloat: return run(float());
    case at::kDouble: return run(double());
    case at::kBFloat16: return run(cuda::BFloat16());
    case at::kHalf: return run(cuda::Half());
    default: TORCH_CHECK(false, "the scan takes float64, float32, bfloat16 or float16 tokens, but u is ", type);
  }
}

void check_launch(cudaError_t error, const ScanInputs& in) {
  if (error != cudaSuccess) cudaGetLastError();   // or the next, innocent call would report it again
  TORCH_CHECK(error == cudaSuccess, "the CUDA scan of ", in.batch, " x ", in.orders, " x ", in.length, " tokens with ",
              in.channels, " channels, ", in.states, " states and rank ", in.rank, " could not be launched: ",
              cudaGetErrorString(error));
}

// Workspace from torch's caching allocator, which hands memory on in stream order.
template <typename acc_t>
struct Workspace {
  std::vector<Tensor> blocks;
  cuda::Allocator<acc_t> allocator;

  explicit Workspace(const ScanInputs& in) {
    allocator = [this, &in](int64_t count) {
      blocks.push_back(in.empty({count}));
      return ScanInputs::data<acc_t>(blocks.back());
    };
  }
};

struct Outputs {
  Tensor out, states, last;
};

// out is (B, y_length, C) for cross_scan, (K, B, L, C) otherwise.
Outputs forward(const ScanInputs& in, bool delta_softplus, int64_t y_start, int64_t y_length, bool save_states,
                bool want_last) {
  const c10::cuda::CUDAGuard guard(in.u.device());
  Outputs result;
  result.out = in.merge ? in.empty({in.batch, y_length, in.channels})
                        : in.empty({in.orders, in.batch, y_length, in.channels});
  result.states = in.empty(save_states ? in.states_shape() : std::vector<int64_t>{0});
  if (want_last) result.last = in.empty({in.batch, in.orders * in.channels, in.states});
  if (in.nothing()) {
    result.out.zero_();
    if (want_last) result.last.zero_();
    return result;
  }
  dispatch_tokens(in.u.scalar_type(), [&](auto scalar) {
    using scalar_t = decltype(scalar);
    using acc_t = typename cuda::AccumulateType<scalar_t>::type;
    auto p = in.params<acc_t>(delta_softplus, y_start, y_length);
    p.saved = ScanInputs::data<acc_t>(result.states);
    p.last = ScanInputs::data<acc_t>(result.last);
    Workspace<acc_t> workspace(in);
    check_launch(cuda::run_forward<scalar_t>(p, in.merge, static_cast<acc_t*>(result.out.data_ptr()),
                                             workspace.allocator, c10::cuda::getCurrentCUDAStream()), in);
  });
  return result;
}

struct GradientTensors {
  Tensor u, delta, A, Bm, Cm, D, bias, weight;
};

// dout and the gradient of u are laid out as `out` of forward.
GradientTensors backward(const ScanInputs& in, const Tensor& dout, const Tensor& states, bool delta_softplus,
                         int64_t y_start) {
  const c10::cuda::CUDAGuard guard(in.u.device());
  const int64_t y_length = dout.size(-2);
  ScanInputs::check_place("states", states, in.u, in.states_shape());
  TORCH_CHECK(dout.scalar_type() == in.sum_type && states.scalar_type() == in.sum_type,
              "dout and states of the scan's backward pass must be ", in.sum_type, ", but are ", dout.scalar_type(),
              " and ", states.scalar_type());
  TORCH_CHECK(y_start >= 0 && y_start + y_length <= in.length, "dout of the scan must lie within the ", in.length,
              " tokens, but spans ", y_start, " to ", y_start + y_length);
  const auto like = [&](const Tensor& x) { return in.empty(x.defined() ? x.sizes() : at::IntArrayRef{0}); };
  GradientTensors g;
  g.u = in.merge ? like(in.u) : in.empty({in.orders, in.batch, in.length, in.channels});
  g.delta = like(in.delta), g.A = like(in.A), g.Bm = like(in.Bm), g.Cm = like(in.Cm);
  g.D = like(in.D), g.bias = like(in.bias);
  g.weight = in.weight.defined() ? in.empty({in.orders, in.channels, in.rank}) : in.empty({0});
  if (in.nothing()) {
    for (const Tensor& x : {g.u, g.delta, g.A, g.Bm, g.Cm, g.D, g.bias, g.weight}) x.zero_();
    return g;
  }
  const Tensor kept = states.contiguous();
  dispatch_tokens(in.u.scalar_type(), [&](auto scalar) {
    using scalar_t = decltype(scalar);
    using acc_t = typename cuda::AccumulateType<scalar_t>::type;
    auto p = in.params<acc_t>(delta_softplus, y_start, y_length);
    p.saved = ScanInputs::data<acc_t>(kept);
    p.dout = static_cast<const acc_t*>(dout.const_data_ptr());
    p.dout_batch = dout.stride(in.merge ? 0 : 1), p.dout_order = in.merge ? 0 : dout.stride(0);
    p.dout_token = dout.stride(-2);
    const cuda::Gradients<acc_t> target{
        ScanInputs::data<acc_t>(g.u), ScanInputs::data<acc_t>(g.delta), ScanInputs::data<acc_t>(g.A),
        ScanInputs::data<acc_t>(g.Bm), ScanInputs::data<acc_t>(g.Cm), ScanInputs::data<acc_t>(g.D),
        ScanInputs::data<acc_t>(g.bias), ScanInputs::data<acc_t>(g.weight)};
    Workspace<acc_t> workspace(in);
    check_launch(cuda::run_backward<scalar_t>(p, in.merge, target, workspace.allocator,
                                              c10::cuda::getCurrentCUDAStream()), in);
  });
  return g;
}

// dout as rows of the dtype of the sums.
Tensor gradient_rows(const ScanInputs& in, const Tensor& dout) {
  const Tensor x = dout.to(in.sum_type);
  return x.size(-1) <= 1 || x.stride(-1) == 1 ? x : x.contiguous();
}

std::tuple<Tensor, Tensor> cross_scan_fwd(const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& Bm,
                                          const Tensor& Cm, const OptionalTensor& D, const OptionalTensor& delta_bias,
                                          const Tensor& index, const OptionalTensor& dt_weight, bool delta_softplus,
                                          int64_t y_start, int64_t y_len, bool save_states) {
  const ScanInputs in(u, delta, A, Bm, Cm, D, delta_bias, index, dt_weight);
  TORCH_CHECK_VALUE(y_start >= 0 && y_len >= 0 && y_start + y_len <= in.length, "y_start and y_len of the scan must ",
                    "lie within the ", in.length, " tokens, but got ", y_start, " and ", y_len);
  const Outputs result = forward(in, delta_softplus, y_start, y_len, save_states, false);
  return {result.out, result.states};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> cross_scan_bwd(
    const Tensor& dout, const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& Bm, const Tensor& Cm,
    const OptionalTensor& D, const OptionalTensor& delta_bias, const Tensor& index, const OptionalTensor& dt_weight,
    const Tensor& states, bool delta_softplus, int64_t y_start) {
  const ScanInputs in(u, delta, A, Bm, Cm, D, delta_bias, index, dt_weight);
  TORCH_CHECK(dout.dim() == 3, "dout of the scan must have shape (B, y_len, C), but got ", dout.sizes());
  ScanInputs::check_place("dout", dout, u, {in.batch, dout.size(1), in.channels});
  const GradientTensors g = backward(in, gradient_rows(in, dout), states, delta_softplus, y_start);
  return {g.u, g.delta, g.A, g.Bm, g.Cm, g.D, g.bias, g.weight};
}

// (K, B, L, C) -> (B, K*C, L).
Tensor ungroup(const Tensor& x) { return x.permute({1, 0, 3, 2}).flatten(1, 2).contiguous(); }

std::tuple<Tensor, Tensor, Tensor> selective_scan_fwd(const Tensor& u, const Tensor& delta, const Tensor& A,
                                                      const Tensor& Bm, const Tensor& Cm, const OptionalTensor& D,
                                                      const OptionalTensor& delta_bias, bool delta_softplus,
                                                      bool save_states) {
  const ScanInputs in(u, delta, A, Bm, Cm, D, delta_bias);
  const Outputs result = forward(in, delta_softplus, 0, in.length, save_states, true);
  return {ungroup(result.out), result.last, result.states};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> selective_scan_bwd(
    const Tensor& dout, const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& Bm, const Tensor& Cm,
    const OptionalTensor& D, const OptionalTensor& delta_bias, const Tensor& states, bool delta_softplus) {
  const ScanInputs in(u, delta, A, Bm, Cm, D, delta_bias);
  ScanInputs::check_place("dout", dout, u, u.sizes());
  const Tensor rows = in.group_rows(dout.to(in.sum_type)).transpose(0, 1);
  const GradientTensors g = backward(in, gradient_rows(in, rows), states, delta_softplus, 0);
  // The gradients of delta, B and C come as (B, G, L, .).
  const Tensor ddelta = g.delta.transpose(2, 3).flatten(1, 2).contiguous();
  return {ungroup(g.u), ddelta, g.A, g.Bm.transpose(2, 3).contiguous(), g.Cm.transpose(2, 3).contiguous(), g.D, g.bias};
}

}  // namespace

TORCH_LIBRARY_IMPL(mmavs, CUDA, m) {
  m.impl("cross_scan_fwd", &cross_scan_fwd);
  m.impl("cross_scan_bwd", &cross_scan_bwd);
  m.impl("selective_scan_fwd", &selective_scan_fwd);
  m.impl("selective_scan_bwd", &selective_scan_bwd);
}

}  // namespace mmavs
