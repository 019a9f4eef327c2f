// The passes of the CUDA scan, run by the emulation, with an interface for ctypes.
#include "cuda_emulation.h"
#include "launch.cuh"

#include <string>

using namespace mmavs::cuda;

namespace {

// Freed at the end of a pass; NaN until written.
template <typename acc_t>
struct Workspace {
  std::vector<std::vector<acc_t>> blocks;
  Allocator<acc_t> allocator = [this](int64_t count) {
    blocks.emplace_back(count, acc_t(NAN));
    return blocks.back().data();
  };
};

// sizes: B K L C N R y_start y_length softplus merge, then the strides of ScanParams in their order.
template <typename acc_t>
ScanParams<acc_t> parameters(const int64_t* sizes, void* const* in) {
  ScanParams<acc_t> p{};
  int* const dims[] = {&p.batch, &p.orders, &p.length, &p.channels, &p.states, &p.rank, &p.y_start, &p.y_length};
  for (int* dim : dims) *dim = static_cast<int>(*sizes++);
  p.delta_softplus = *sizes++ != 0;
  ++sizes;
  int64_t* const strides[] = {&p.u_batch, &p.u_order, &p.u_token, &p.delta_batch, &p.delta_order, &p.delta_token,
                              &p.b_batch, &p.b_order, &p.b_token, &p.c_batch, &p.c_order, &p.c_token,
                              &p.dout_batch, &p.dout_order, &p.dout_token};
  for (int64_t* stride : strides) *stride = *sizes++;
  p.u = in[0];
  p.delta = in[1];
  p.A = static_cast<const acc_t*>(in[2]);
  p.Bm = in[3];
  p.Cm = in[4];
  p.D = static_cast<const acc_t*>(in[5]);
  p.delta_bias = static_cast<const acc_t*>(in[6]);
  p.index = static_cast<const int*>(in[7]);
  p.weight = static_cast<const acc_t*>(in[8]);
  return p;
}

template <typename scalar_t>
int forward(const int64_t* sizes, void* const* in, void* const* out) {
  using acc_t = typename AccumulateType<scalar_t>::type;
  ScanParams<acc_t> p = parameters<acc_t>(sizes, in);
  p.saved = static_cast<acc_t*>(out[1]);
  p.last = static_cast<acc_t*>(out[2]);
  Workspace<acc_t> workspace;
  return run_forward<scalar_t>(p, sizes[9] != 0, static_cast<acc_t*>(out[0]), workspace.allocator, nullptr);
}

template <typename scalar_t>
int backward(const int64_t* sizes, void* const* in, void* const* out) {
  using acc_t = typename AccumulateType<scalar_t>::type;
  ScanParams<acc_t> p = parameters<acc_t>(sizes, in);
  p.dout = static_cast<const acc_t*>(in[9]);
  p.saved = static_cast<acc_t*>(in[10]);
  acc_t* g[8];
  for (int i = 0; i < 8; ++i) g[i] = static_cast<acc_t*>(out[i]);
  const Gradients<acc_t> gradients{g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7]};
  Workspace<acc_t> workspace;
  return run_backward<scalar_t>(p, sizes[9] != 0, gradients, workspace.allocator, nullptr);
}

}  // namespace

extern "C" {

// kind: 0 float, 1 double, 2 bfloat16, 3 half.
int emulated_forward(int kind, const int64_t* sizes, void* const* in, void* const* out) {
  switch (kind) {
    case 0: return forward<float>(sizes, in, out);
    case 1: return forward<double>(sizes, in, out);
    case 2: return forward<BFloat16>(sizes, in, out);
    default: return forward<Half>(sizes, in, out);
  }
}

int emulated_backward(int kind, const int64_t* sizes, void* const* in, void* const* out) {
  switch (kind) {
    case 0: return backward<float>(sizes, in, out);
    case 1: return backward<double>(sizes, in, out);
    case 2: return backward<BFloat16>(sizes, in, out);
    default: return backward<Half>(sizes, in, out);
  }
}

int emulated_interval(int states) { return saved_interval(states); }

void emulated_device(int resident, int schedule) {
  emulation::set_resident(resident);
  emulation::set_schedule(schedule);
}

void emulated_skip_barrier(const char* file, int line) {
  static std::string name;
  name = file;
  emulation::skip_barrier(name.c_str(), line);
}
}
