// Checked inputs of a scan op on the GPU, as arguments of the kernels (schemas and shapes in ../ops.cpp).
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <limits>
#include <optional>
#include <vector>

#include "../../common/cuda/api.cuh"

namespace mmavs {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

struct ScanInputs {
  Tensor u, delta, A, Bm, Cm, D, bias, index, weight;   // weight: (K, R, C)
  at::ScalarType sum_type;
  int64_t batch, orders, length, channels, states, rank = 0;
  bool merge;   // orders share the channels of u and their outputs are summed (cross_scan)

  // cross_scan: tokens are rows already.
  ScanInputs(const Tensor& u_, const Tensor& delta_, const Tensor& A_, const Tensor& Bm_, const Tensor& Cm_,
             const OptionalTensor& D_, const OptionalTensor& bias_, const Tensor& index_,
             const OptionalTensor& weight_)
      : merge(true) {
    TORCH_CHECK(u_.dim() == 3 && A_.dim() == 2 && index_.dim() == 2 && (!weight_ || weight_->dim() == 3),
                "u, A, index and dt_weight of the scan must have 3, 2, 2 and 3 axes, but u is ", u_.sizes(), ", A ",
                A_.sizes(), " and index ", index_.sizes());
    batch = u_.size(0), length = u_.size(1), channels = u_.size(2), orders = index_.size(0), states = A_.size(1);
    if (weight_) rank = weight_->size(2);
    check_place("index", index_, u_, {orders, length});
    TORCH_CHECK(index_.scalar_type() == at::kInt, "index of the scan must be int32, but is ", index_.scalar_type());
    index = index_.contiguous();
    u = rows("u", u_, u_, {batch, length, channels});
    delta = rows("delta", delta_, u_, {batch, orders, length, weight_ ? rank : channels});
    Bm = rows("Bm", Bm_, u_, {batch, orders, length, states});
    Cm = rows("Cm", Cm_, u_, {batch, orders, length, states});
    finish(A_, D_, bias_);
    weight = parameter("dt_weight", weight_, {orders, channels, rank});
    if (weight.defined()) weight = weight.transpose(1, 2).contiguous();
    TORCH_CHECK(!weight_ || (rank >= 1 && rank <= cuda::kMaxRank), "dt_weight of the CUDA scan must have a rank of 1 ",
                "to ", cuda::kMaxRank, ", but has ", rank, "; multiply it with delta beforehand");
  }

  // selective_scan: groups become orders; rows of tokens are copied out of (B, D, L).
  ScanInputs(const Tensor& u_, const Tensor& delta_, const Tensor& A_, const Tensor& Bm_, const Tensor& Cm_,
             const OptionalTensor& D_, const OptionalTensor& bias_)
      : merge(false) {
    TORCH_CHECK(u_.dim() == 3 && Bm_.dim() == 4 && A_.dim() == 2 && Bm_.size(1) > 0 && u_.size(1) % Bm_.size(1) == 0,
                "u, A and B of the scan must be (B, D, L), (D, n) and (B, G, n, L) with G dividing D, but got ",
                u_.sizes(), ", ", A_.sizes(), " and ", Bm_.sizes());
    batch = u_.size(0), length = u_.size(2), orders = Bm_.size(1), states = A_.size(1);
    channels = u_.size(1) / orders;
    check_place("delta", delta_, u_, u_.sizes());
    u = rows("u", group_rows(u_), u_, {batch, orders, length, channels});
    delta = rows("delta", group_rows(delta_), u_, {batch, orders, length, channels});
    Bm = rows("B", Bm_.transpose(2, 3), u_, {batch, orders, length, states});
    Cm = rows("C", Cm_.transpose(2, 3), u_, {batch, orders, length, states});
    finish(A_, D_, bias_);
  }

  // (B, D, L) as a view (B, G, L, D / G) over (B, L, D), copied where it does not lie so already.
  Tensor group_rows(const Tensor& x) const {
    return x.transpose(1, 2).contiguous().unflatten(2, {orders, channels}).transpose(1, 2);
  }

  std::vector<int64_t> states_shape() const {
    const int64_t interval = cuda::saved_interval(static_cast<int>(states));
    return {batch, orders, (length + interval - 1) / interval, states, channels};
  }

  bool nothing() const { return batch * orders * length * channels == 0; }

  Tensor empty(at::IntArrayRef shape) const { return at::empty(shape, u.options().dtype(sum_type)); }

  template <typename acc_t>
  cuda::ScanParams<acc_t> params(bool delta_softplus, int64_t y_start, int64_t y_length) const {
    cuda::ScanParams<acc_t> p{};
    narrow(batch * orders * channels * ((states + cuda::kMaxBlockStates - 1) / cuda::kMaxBlockStates));   // most blocks
    p.batch = narrow(batch), p.orders = narrow(orders), p.length = narrow(length), p.channels = narrow(channels);
    p.states = narrow(states), p.rank = narrow(rank), p.y_start = narrow(y_start), p.y_length = narrow(y_length);
    p.delta_softplus = delta_softplus;
    p.u = u.const_data_ptr(), p.delta = delta.const_data_ptr();
    p.Bm = Bm.const_data_ptr(), p.Cm = Cm.const_data_ptr();
    p.u_batch = u.stride(0), p.u_order = merge ? 0 : u.stride(1), p.u_token = u.stride(-2);
    p.delta_batch = delta.stride(0), p.delta_order = delta.stride(1), p.delta_token = delta.stride(2);
    p.b_batch = Bm.stride(0), p.b_order = Bm.stride(1), p.b_token = Bm.stride(2);
    p.c_batch = Cm.stride(0), p.c_order = Cm.stride(1), p.c_token = Cm.stride(2);
    p.A = data<acc_t>(A), p.D = data<acc_t>(D), p.delta_bias = data<acc_t>(bias), p.weight = data<acc_t>(weight);
    p.index = index.defined() ? index.const_data_ptr<int>() : nullptr;
    return p;
  }

  template <typename acc_t>
  static acc_t* data(const Tensor& x) {
    return x.defined() && x.numel() > 0 ? static_cast<acc_t*>(x.data_ptr()) : nullptr;
  }

  static void check_place(const char* name, const Tensor& x, const Tensor& like, at::IntArrayRef shape) {
    TORCH_CHECK(x.device() == like.device(), name, " of the scan must be on ", like.device(), ", but is on ",
                x.device());
    TORCH_CHECK(x.sizes() == shape, name, " of the scan must have shape ", shape, ", but got ", x.sizes());
  }

 private:
  static int narrow(int64_t value) {
    TORCH_CHECK(value <= std::numeric_limits<int>::max(), "a size of the scan does not fit 32 bits: ", value);
    return static_cast<int>(value);
  }

  // The kernels read rows, so only the last axis must be contiguous.
  static Tensor rows(const char* name, const Tensor& x, const Tensor& like, at::IntArrayRef shape) {
    check_place(name, x, like, shape);
    TORCH_CHECK(x.scalar_type() == like.scalar_type(), name, " of the scan must be ", like.scalar_type(), ", but is ",
                x.scalar_type());
    return x.size(-1) > 1 && x.stride(-1) != 1 ? x.contiguous() : x;
  }

  Tensor parameter(const char* name, const OptionalTensor& x, at::IntArrayRef shape) const {
    if (!x) return {};
    check_place(name, *x, u, shape);
    TORCH_CHECK(x->scalar_type() == sum_type, name, " of the scan must be ", sum_type, ", but is ", x->scalar_type());
    return x->contiguous();
  }

  void finish(const Tensor& A_, const OptionalTensor& D_, const OptionalTensor& bias_) {
    sum_type = u.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    TORCH_CHECK(states >= 1 && states <= 256, "the CUDA scan takes 1 to 256 states, but A has ", states);
    A = parameter("A", A_, {orders * channels, states});
    D = parameter("D", D_, {orders * channels});
    bias = parameter("delta_bias", bias_, {orders * channels});
  }
};

}  // namespace mmavs
