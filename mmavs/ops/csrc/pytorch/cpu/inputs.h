// Checked inputs of a scan on the CPU (schemas and shapes in ../ops.cpp), as the kernels want them.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "../../common/scan_args.h"

namespace mmavs {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

at::ScalarType sum_type(const Tensor& tokens) { return tokens.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

Tensor empty(const Tensor& like, at::IntArrayRef shape) { return at::empty(shape, like.options().dtype(sum_type(like))); }

void check(const char* name, const Tensor& x, at::IntArrayRef shape) {
  TORCH_CHECK(x.device().is_cpu(), name, " of the CPU scan must be on the CPU, but is on ", x.device());
  TORCH_CHECK(x.sizes() == shape, name, " of the scan must have shape ", shape, ", but got ", x.sizes());
}

// Tokens in the dtype of the sums. Half precision is widened here, once for all scans.
Tensor prepare_tokens(const char* name, const Tensor& x, at::IntArrayRef shape, at::ScalarType dtype) {
  check(name, x, shape);
  TORCH_CHECK(x.is_floating_point() && (x.scalar_type() == at::kDouble) == (dtype == at::kDouble), name,
              " of the scan must have the dtype of u, but is ", x.scalar_type());
  return x.to(dtype);
}

Tensor prepare_param(const char* name, const OptionalTensor& x, at::IntArrayRef shape, at::ScalarType dtype) {
  if (!x) return {};
  check(name, *x, shape);
  TORCH_CHECK(x->scalar_type() == dtype, name, " of the scan must be ", dtype, ", but is ", x->scalar_type());
  return x->contiguous();
}

// A table of permutations: everything the kernels read and write through it is in place and written once.
Tensor prepare_index(const Tensor& index, int64_t length) {
  TORCH_CHECK(index.device().is_cpu() && index.scalar_type() == at::kInt && index.dim() == 2 && index.size(1) == length,
              "index of the scan must be an int32 CPU tensor of shape (K, ", length, "), but is ", index.scalar_type(),
              " of shape ", index.sizes(), " on ", index.device());
  const Tensor table = index.contiguous();
  const int32_t* values = table.const_data_ptr<int32_t>();
  std::vector<char> seen(length);
  for (int64_t k = 0; k < table.size(0); ++k) {
    std::fill(seen.begin(), seen.end(), 0);
    for (int64_t i = 0; i < length; ++i) {
      const int64_t place = values[k * length + i];
      TORCH_CHECK_VALUE(place >= 0 && place < length && !seen[place],
                        "every row of index must visit each of the positions 0...", length - 1,
                        " once, but one leaves the range or visits a position twice");
      seen[place] = 1;
    }
  }
  return table;
}

template <typename T>
const T* data_or_null(const Tensor& x) {
  return x.defined() ? x.const_data_ptr<T>() : nullptr;
}
template <typename T>
T* mutable_or_null(const Tensor& x) {
  return x.defined() && x.numel() ? x.mutable_data_ptr<T>() : nullptr;
}

// (B, L, X) as tokens that the scans share, and (B, K, L, X).
template <typename T, typename Pointer>
Tokens<T> token_major(const Tensor& x, Pointer data) {
  if (x.dim() == 3) return {data, x.stride(0), 0, x.stride(1), x.stride(2)};
  return {data, x.stride(0), x.stride(1), x.stride(2), x.stride(3)};
}
// (B, D, L) as G scans of D / G channels, and (B, G, n, L).
template <typename T, typename Pointer>
Tokens<T> channel_major(const Tensor& x, int64_t channels, Pointer data) {
  if (x.dim() == 3) return {data, x.stride(0), channels * x.stride(1), x.stride(2), x.stride(1)};
  return {data, x.stride(0), x.stride(1), x.stride(3), x.stride(2)};
}

// Checked inputs of a call, kept alive while the kernels read them.
struct Inputs {
  Tensor u, delta, A, Bm, Cm, D, bias, index, weight;
  at::ScalarType dtype;
  int64_t batch, scans, length, channels, states, rank;
  bool shared;

  Inputs(const Tensor& u_, const Tensor& delta_, const Tensor& A_, const Tensor& Bm_, const Tensor& Cm_,
         const OptionalTensor& D_, const OptionalTensor& bias_, const Tensor& index_, const OptionalTensor& weight_)
      : dtype(sum_type(u_)), shared(true) {
    TORCH_CHECK(u_.dim() == 3 && Bm_.dim() == 4 && A_.dim() == 2 && (!weight_ || weight_->dim() == 3),
                "u, A, Bm and dt_weight of the scan must have 3, 2, 4 and 3 axes, but got ", u_.sizes(), ", ", A_.sizes(),
                " and ", Bm_.sizes());
    batch = u_.size(0), length = u_.size(1), channels = u_.size(2), scans = index_.size(0), states = A_.size(1);
    rank = weight_ ? weight_->size(2) : 0;
    index = prepare_index(index_, length);
    u = rows(prepare_tokens("u", u_, {batch, length, channels}, dtype));
    delta = rows(prepare_tokens("delta", delta_, {batch, scans, length, weight_ ? rank : channels}, dtype));
    Bm = rows(prepare_tokens("Bm", Bm_, {batch, scans, length, states}, dtype));
    Cm = rows(prepare_tokens("Cm", Cm_, {batch, scans, length, states}, dtype));
    weight = prepare_param("dt_weight", weight_, {scans, channels, rank}, dtype);
    params(A_, D_, bias_);
  }

  Inputs(const Tensor& u_, const Tensor& delta_, const Tensor& A_, const Tensor& Bm_, const Tensor& Cm_,
         const OptionalTensor& D_, const OptionalTensor& bias_)
      : dtype(sum_type(u_)), rank(0), shared(false) {
    TORCH_CHECK(u_.dim() == 3 && Bm_.dim() == 4 && A_.dim() == 2 && Bm_.size(1) > 0 && u_.size(1) % Bm_.size(1) == 0,
                "u, A and B of the scan must be (B, D, L), (D, n) and (B, G, n, L) with G dividing D, but got ",
                u_.sizes(), ", ", A_.sizes(), " and ", Bm_.sizes());
    batch = u_.size(0), length = u_.size(2), scans = Bm_.size(1), states = A_.size(1);
    channels = u_.size(1) / scans;
    u = prepare_tokens("u", u_, u_.sizes(), dtype);
    delta = prepare_tokens("delta", delta_, u_.sizes(), dtype);
    Bm = prepare_tokens("B", Bm_, {batch, scans, states, length}, dtype);
    Cm = prepare_tokens("C", Cm_, {batch, scans, states, length}, dtype);
    params(A_, D_, bias_);
  }

  void params(const Tensor& A_, const OptionalTensor& D_, const OptionalTensor& bias_) {
    A = prepare_param("A", A_, {scans * channels, states}, dtype);
    D = prepare_param("D", D_, {scans * channels}, dtype);
    bias = prepare_param("delta_bias", bias_, {scans * channels}, dtype);
  }

  // The kernels read rows of channels.
  static Tensor rows(const Tensor& x) { return x.size(-1) > 1 && x.stride(-1) != 1 ? x.contiguous() : x; }

  template <typename T>
  Tokens<const T> tokens(const Tensor& x) const {
    return view<const T>(x, x.const_data_ptr<T>());
  }
  template <typename T, typename Pointer>
  Tokens<T> view(const Tensor& x, Pointer data) const {
    Tokens<T> result = shared ? token_major<T>(x, data) : channel_major<T>(x, channels, data);
    if (shared && x.size(-1) == 1) result.channel = 1;
    return result;
  }

  at::DimVector states_shape() const { return {batch, scans, (length + kChunk - 1) / kChunk, states, channels}; }
  bool nothing() const { return batch * scans * length * channels == 0; }

  template <typename T>
  ScanArgs<T> args(bool softplus, int64_t y_start, int64_t y_len) const {
    ScanArgs<T> s{};
    s.batch = batch, s.scans = scans, s.length = length, s.channels = channels, s.states = states, s.rank = rank;
    s.shared = shared, s.softplus = softplus, s.y_start = y_start, s.y_len = y_len;
    s.u = tokens<T>(u), s.delta = tokens<T>(delta), s.Bm = tokens<T>(Bm), s.Cm = tokens<T>(Cm);
    s.A = A.const_data_ptr<T>(), s.D = data_or_null<T>(D), s.bias = data_or_null<T>(bias);
    s.dt_weight = data_or_null<T>(weight), s.index = data_or_null<int32_t>(index);
    return s;
  }
};

}  // namespace
}  // namespace mmavs
