// Scalar types, maths and the launch macro of the scan kernels. No torch header is included here or anywhere below
// common/cuda, so nvcc compiles a kernel in a few seconds. With MMAVS_CUDA_EMULATION a host compiler builds the same
// kernels: the header named by the tests then supplies threadIdx, __syncthreads and the other CUDA names.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define MMAVS_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#define MMAVS_LAUNCH(kernel, blocks, threads, bytes, stream, ...) \
  kernel<<<static_cast<unsigned>(blocks), threads, bytes, stream>>>(__VA_ARGS__)
#elif defined(MMAVS_CUDA_EMULATION)
#include "cuda_emulation.h"
#else
#error "the kernels need nvcc, or MMAVS_CUDA_EMULATION with a host compiler"
#endif

namespace mmavs {
namespace cuda {

constexpr double kLog2e = 1.44269504088896340736;
constexpr double kLn2 = 0.69314718055994530942;
constexpr unsigned kFullMask = 0xffffffffu;

// Storage of 16-bit inputs: plain bits, so that host code needs no CUDA type to pass a pointer.
struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

template <typename scalar_t>
struct AccumulateType {
  using type = float;
};
template <>
struct AccumulateType<double> {
  using type = double;
};

__device__ __forceinline__ float load_scalar(const float* p) { return *p; }
__device__ __forceinline__ double load_scalar(const double* p) { return *p; }

__device__ __forceinline__ float load_scalar(const BFloat16* p) {
#if defined(__CUDACC__)
  return __uint_as_float(static_cast<unsigned>(p->bits) << 16);
#else
  return emulation::bits_to_float(static_cast<uint32_t>(p->bits) << 16);
#endif
}

__device__ __forceinline__ float load_scalar(const Half* p) {
#if defined(__CUDACC__)
  return __half2float(__ushort_as_half(p->bits));
#else
  return emulation::half_to_float(p->bits);
#endif
}

// ex2.approx: 2 ulp over the whole range, results below 2^-126 become 0. One instruction of the special-function unit.
__device__ __forceinline__ float exp2_fast(float x) {
#if defined(__CUDACC__)
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return exp2f(x);
#endif
}
__device__ __forceinline__ double exp2_fast(double x) { return exp2(x); }

__device__ __forceinline__ float fused(float a, float b, float c) { return fmaf(a, b, c); }
__device__ __forceinline__ double fused(double a, double b, double c) { return fma(a, b, c); }

// log1p keeps small steps exact to the last bits: log(1 + e) would lose four digits at delta = 1e-3.
__device__ __forceinline__ float softplus(float x) { return x > 20.f ? x : log1pf(expf(x)); }
__device__ __forceinline__ double softplus(double x) { return x > 20. ? x : log1p(exp(x)); }

// Derivative of softplus written with its value: sigmoid(x) = 1 - exp(-softplus(x)).
__device__ __forceinline__ float softplus_slope(float delta) { return -expm1f(-delta); }
__device__ __forceinline__ double softplus_slope(double delta) { return -expm1(-delta); }

// A few consecutive values moved with one instruction (16 bytes at most).
template <typename T, int kSize>
struct alignas(sizeof(T) * kSize < 16 ? sizeof(T) * kSize : 16) Vec {
  T v[kSize];
};

template <typename T, int kSize>
__device__ __forceinline__ Vec<T, kSize> load_vec(const T* p) {
  return *reinterpret_cast<const Vec<T, kSize>*>(p);
}

template <typename T, int kSize>
__device__ __forceinline__ void store_vec(T* p, const Vec<T, kSize>& value) {
  *reinterpret_cast<Vec<T, kSize>*>(p) = value;
}

// Sum over the kLanes neighbouring lanes (a power of two); every lane gets the result, always in the same order.
template <int kLanes, typename T>
__device__ __forceinline__ T sum_lanes(T value) {
#pragma unroll
  for (int step = 1; step < kLanes; step *= 2) value += __shfl_xor_sync(kFullMask, value, step);
  return value;
}

}  // namespace cuda
}  // namespace mmavs
