// Runs CUDA kernels on the CPU: the names a kernel uses, and a launcher that gives every thread of a block a stack of
// its own. Threads of a block are fibers by default, resumed one after another in a chosen order between two barriers;
// with EMULATION_THREADS they are operating-system threads, for a race checker. A barrier or a shuffle that some thread
// of its block or warp never reaches is reported and ends the process. A barrier can be left out, named by its place in
// the source, to see that the results show it.
#pragma once

#include <pthread.h>
#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#define __host__
#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define MMAVS_SHARED(name) unsigned char* name = emulation::shared_memory()
#define MMAVS_EXPAND(...) __VA_ARGS__
#define MMAVS_LAUNCH(kernel, blocks, threads, bytes, stream, ...) \
  ((void)(stream), emulation::launch(blocks, threads, bytes, [&] { MMAVS_EXPAND kernel(__VA_ARGS__); }))
#define threadIdx (emulation::current().thread)
#define blockIdx (emulation::current().block)
#define blockDim (emulation::current().block_size)
#define gridDim (emulation::current().grid_size)

using cudaStream_t = void*;
using cudaError_t = int;
constexpr cudaError_t cudaSuccess = 0;
inline cudaError_t cudaGetLastError() { return cudaSuccess; }

using std::exp;
using std::exp2;
using std::fma;
using std::log1p;

namespace emulation {

struct Index {
  unsigned x;
};

struct Coordinates {
  Index thread, block, block_size, grid_size;
};

Coordinates& current();
unsigned char* shared_memory();
void launch(int64_t blocks, int threads, size_t bytes, const std::function<void()>& kernel);
void wait_block(const char* file, int line);
int or_block(int value, const char* file, int line);
// Exchanges 8 bytes between the lanes of a warp.
uint64_t shuffle_xor(uint64_t bits, int mask);
void set_schedule(int order);          // in which fibers are resumed: 0 ascending, 1 descending, else a random seed
void set_resident(int blocks);         // blocks the pretended device holds at a time
void skip_barrier(const char* file, int line);   // file without folders; must outlive the launches

inline float bits_to_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

inline float half_to_float(uint16_t bits) {
  const float sign = bits & 0x8000 ? -1.f : 1.f;
  const int exponent = bits >> 10 & 31;
  const int fraction = bits & 1023;
  if (exponent == 31) return fraction ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(fraction), -24);
  return sign * std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
}

int resident_blocks();

}  // namespace emulation

#define __syncthreads() emulation::wait_block(__FILE__, __LINE__)
#define __syncthreads_or(value) emulation::or_block(value, __FILE__, __LINE__)

template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = emulation::shuffle_xor(bits, mask);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

namespace mmavs {
namespace cuda {
template <typename Kernel>
cudaError_t prepare_kernel(Kernel, size_t, int* resident) {
  *resident = emulation::resident_blocks();
  return cudaSuccess;
}
}  // namespace cuda
}  // namespace mmavs
