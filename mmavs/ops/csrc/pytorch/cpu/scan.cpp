// CPU implementations of the scan ops (schemas and shapes in ../ops.cpp).

#include <ATen/Parallel.h>
#include <torch/library.h>

#include <tuple>

#include "../../common/cpu/scan.h"
#include "inputs.h"

namespace mmavs {
namespace {

constexpr auto kParallel = [](int64_t tasks, const auto& function) {
  at::parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) { function(first, last); });
};

void forward(const Inputs& in, bool softplus, int64_t y_start, int64_t y_len, const Tensor& out, const Tensor& states,
             const Tensor& last_state) {
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    auto args = in.args<T>(softplus, y_start, y_len);
    args.out = in.view<T>(out, out.mutable_data_ptr<T>());
    args.checkpoints = mutable_or_null<T>(states);
    args.last_state = mutable_or_null<T>(last_state);
    scan_forward(args, at::get_num_threads(), kParallel);
  };
  if (in.nothing()) {
    out.zero_();
    if (last_state.defined()) last_state.zero_();
  } else if (in.dtype == at::kDouble) {
    run(0.0);
  } else {
    run(0.0f);
  }
}

struct Gradients {
  Tensor du, ddelta, dA, dB, dC, dD, dbias, dweight;
};

Gradients backward(const Inputs& in, const Tensor& dout_, const Tensor& states_, bool softplus, int64_t y_start) {
  const int64_t y_len = in.shared ? dout_.size(1) : in.length;
  const Tensor dout = in.shared ? Inputs::rows(dout_.to(in.dtype)) : dout_.to(in.dtype);
  if (in.shared) {
    check("dout", dout, {in.batch, y_len, in.channels});
  } else {
    check("dout", dout, in.u.sizes());
  }
  check("states", states_, in.states_shape());
  TORCH_CHECK(states_.scalar_type() == in.dtype && y_start >= 0 && y_start + y_len <= in.length,
              "states and y_start of the scan's backward pass do not belong to its forward pass");
  const Tensor states = states_.contiguous();
  const auto like = [&](const Tensor& x) { return empty(in.u, x.defined() ? x.sizes() : at::IntArrayRef{0}); };
  Gradients out{like(in.u), like(in.delta), like(in.A), like(in.Bm), like(in.Cm), like(in.D), like(in.bias),
                like(in.weight)};
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    BackwardArgs<T> args{};
    args.scan = in.args<T>(softplus, y_start, y_len);
    args.scan.checkpoints = const_cast<T*>(states.const_data_ptr<T>());
    args.dout = in.tokens<T>(dout);
    args.du = in.view<T>(out.du, out.du.mutable_data_ptr<T>());
    args.ddelta = in.view<T>(out.ddelta, out.ddelta.mutable_data_ptr<T>());
    args.dB = in.view<T>(out.dB, out.dB.mutable_data_ptr<T>());
    args.dC = in.view<T>(out.dC, out.dC.mutable_data_ptr<T>());
    const auto sizes = plan_backward(args, at::get_num_threads());
    const Tensor carry = empty(in.u, {sizes[0]}), params = empty(in.u, {sizes[1]}), rows = empty(in.u, {sizes[2]});
    args.carry = carry.mutable_data_ptr<T>(), args.params = params.mutable_data_ptr<T>();
    args.rows = rows.mutable_data_ptr<T>();
    const ParamGradients<T> target{out.dA.mutable_data_ptr<T>(), mutable_or_null<T>(out.dD),
                                   mutable_or_null<T>(out.dbias), mutable_or_null<T>(out.dweight)};
    scan_backward(args, target, kParallel);
  };
  if (in.nothing()) {
    for (const Tensor& x : {out.du, out.ddelta, out.dA, out.dB, out.dC, out.dD, out.dbias, out.dweight}) x.zero_();
  } else if (in.dtype == at::kDouble) {
    run(0.0);
  } else {
    run(0.0f);
  }
  return out;
}

std::tuple<Tensor, Tensor> cross_scan_fwd(const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& Bm,
                                          const Tensor& Cm, const OptionalTensor& D, const OptionalTensor& delta_bias,
                                          const Tensor& index, const OptionalTensor& dt_weight, bool delta_softplus,
                                          int64_t y_start, int64_t y_len, bool save_states) {
  const Inputs in(u, delta, A, Bm, Cm, D, delta_bias, index, dt_weight);
  TORCH_CHECK_VALUE(y_start >= 0 && y_len >= 0 && y_start + y_len <= in.length, "y_start and y_len of the scan must lie ",
                    "within the ", in.length, " tokens, but got ", y_start, " and ", y_len);
  const Tensor out = empty(in.u, {in.batch, y_len, in.channels});
  const Tensor states = empty(in.u, save_states ? in.states_shape() : at::DimVector{0});
  forward(in, delta_softplus, y_start, y_len, out, states, {});
  return {out, states};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> cross_scan_bwd(
    const Tensor& dout, const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& Bm, const Tensor& Cm,
    const OptionalTensor& D, const OptionalTensor& delta_bias, const Tensor& index, const OptionalTensor& dt_weight,
    const Tensor& states, bool delta_softplus, int64_t y_start) {
  const Inputs in(u, delta, A, Bm, Cm, D, delta_bias, index, dt_weight);
  const Gradients g = backward(in, dout, states, delta_softplus, y_start);
  return {g.du, g.ddelta, g.dA, g.dB, g.dC, g.dD, g.dbias, g.dweight};
}

std::tuple<Tensor, Tensor, Tensor> selective_scan_fwd(const Tensor& u, const Tensor& delta, const Tensor& A,
                                                      const Tensor& Bm, const Tensor& Cm, const OptionalTensor& D,
                                                      const OptionalTensor& delta_bias, bool delta_softplus,
                                                      bool save_states) {
  const Inputs in(u, delta, A, Bm, Cm, D, delta_bias);
  const Tensor out = empty(in.u, in.u.sizes()), last_state = empty(in.u, {in.batch, in.u.size(1), in.states});
  const Tensor states = empty(in.u, save_states ? in.states_shape() : at::DimVector{0});
  forward(in, delta_softplus, 0, in.length, out, states, last_state);
  return {out, last_state, states};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> selective_scan_bwd(
    const Tensor& dout, const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& Bm, const Tensor& Cm,
    const OptionalTensor& D, const OptionalTensor& delta_bias, const Tensor& states, bool delta_softplus) {
  const Inputs in(u, delta, A, Bm, Cm, D, delta_bias);
  const Gradients g = backward(in, dout, states, delta_softplus, 0);
  return {g.du, g.ddelta, g.dA, g.dB, g.dC, g.dD, g.dbias};
}

Tensor scan_exp2(const Tensor& x, int64_t repeats) {
  constexpr int64_t piece = 1024;
  TORCH_CHECK(x.device().is_cpu() && x.is_contiguous() && x.numel() % piece == 0,
              "x of scan_exp2 must be a contiguous CPU tensor with a multiple of ", piece, " values");
  const Tensor y = at::empty(x.sizes(), x.options());
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    const T* source = x.const_data_ptr<T>();
    T* target = y.mutable_data_ptr<T>();
    const ScanKernel<T>& kernel = scan_kernel<T>();
    kParallel(x.numel() / piece, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i)
        for (int64_t r = 0; r < repeats; ++r) kernel.exp2(source + i * piece, target + i * piece, piece);
    });
  };
  if (x.scalar_type() == at::kDouble) {
    run(0.0);
  } else {
    run(0.0f);
  }
  return y;
}

}  // namespace

TORCH_LIBRARY_IMPL(mmavs, CPU, m) {
  m.impl("cross_scan_fwd", &cross_scan_fwd);
  m.impl("cross_scan_bwd", &cross_scan_bwd);
  m.impl("selective_scan_fwd", &selective_scan_fwd);
  m.impl("selective_scan_bwd", &selective_scan_bwd);
  m.impl("scan_exp2", &scan_exp2);
}

}  // namespace mmavs
