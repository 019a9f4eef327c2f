// Vectors of one register and the few functions the scan needs.
//
// Included once per instruction set, each time in a namespace of its own (MMAVS_ISA) and compiled with the flags of that
// set. No function of the standard library may be instantiated here: the linker would keep one copy for all sets.
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

#define MMAVS_INLINE inline __attribute__((always_inline))

namespace mmavs {
namespace MMAVS_ISA {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX2__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif

template <typename T>
struct VecOf;
template <>
struct VecOf<float> {
  typedef float type __attribute__((vector_size(kBytes)));
  typedef float unaligned __attribute__((vector_size(kBytes), aligned(4), may_alias));
  typedef int32_t bits __attribute__((vector_size(kBytes)));
};
template <>
struct VecOf<double> {
  typedef double type __attribute__((vector_size(kBytes)));
  typedef double unaligned __attribute__((vector_size(kBytes), aligned(8), may_alias));
  typedef int64_t bits __attribute__((vector_size(kBytes)));
};
template <typename T>
using Vec = typename VecOf<T>::type;
template <typename T>
constexpr int kLanes = kBytes / int(sizeof(T));

template <typename T>
MMAVS_INLINE Vec<T> load(const T* p) {
  return *reinterpret_cast<const typename VecOf<T>::unaligned*>(p);
}
template <typename T>
MMAVS_INLINE void store(T* p, Vec<T> v) {
  *reinterpret_cast<typename VecOf<T>::unaligned*>(p) = v;
}
template <typename T>
MMAVS_INLINE Vec<T> splat(T x) {
  return Vec<T>{} + x;
}

// 2^f for |f| <= 1/2, relative error 1e-7. The first two coefficients are those of Taylor's series: where a state decays
// slowly, a constant error of its decay would add up over the tokens.
MMAVS_INLINE Vec<float> exp2_fraction(Vec<float> f) {
  Vec<float> p = splat(0.0013300606f) * f + 0.00966969157f;
  p = p * f + 0.0555055834f;
  p = p * f + 0.24022282f;
  p = p * f + 0.693147182f;
  return p * f + 1.0f;
}
#if defined(__AVX512F__)
MMAVS_INLINE Vec<float> exp2(Vec<float> x) {
  const Vec<float> whole = (Vec<float>)_mm512_roundscale_ps((__m512)x, 8);
  return (Vec<float>)_mm512_scalef_ps((__m512)exp2_fraction(x - whole), (__m512)whole);
}
#else
MMAVS_INLINE Vec<float> exp2(Vec<float> x) {
  const Vec<float> low = splat(-126.0f), high = splat(127.0f), magic = splat(12582912.0f);  // 1.5 * 2^23
  x = x > low ? x : low;
  x = x < high ? x : high;
  const Vec<float> shifted = x + magic;
  typedef VecOf<float>::bits Bits;
  return (Vec<float>)((Bits)exp2_fraction(x - (shifted - magic)) + ((Bits)shifted << 23));
}
#endif

MMAVS_INLINE Vec<double> exp2(Vec<double> x) {
  const Vec<double> low = splat(-1022.0), high = splat(1023.0), magic = splat(6755399441055744.0);  // 1.5 * 2^52
  x = x > low ? x : low;
  x = x < high ? x : high;
  const Vec<double> shifted = x + magic;
  const Vec<double> f = (x - (shifted - magic)) * 0.693147180559945309417;
  Vec<double> p = splat(1.0 / 6227020800.0);  // Taylor's series of exp: |f| <= ln(2) / 2
  constexpr double factorial[13] = {1.0,     1.0,      2.0,       6.0,        24.0,       120.0,      720.0,
                                    5040.0,  40320.0,  362880.0,  3628800.0,  39916800.0, 479001600.0};
#pragma GCC unroll 13
  for (int k = 12; k >= 0; --k) p = p * f + 1.0 / factorial[k];
  typedef VecOf<double>::bits Bits;
  return (Vec<double>)((Bits)p + ((Bits)shifted << 52));
}

// log(1 + e) for e in [0, 1], relative error 3e-8.
MMAVS_INLINE Vec<float> log1p(Vec<float> e) {
  Vec<float> p = splat(0.00536481073f) * e - 0.03006574f;
  p = p * e + 0.0792044543f;
  p = p * e - 0.137537958f;
  p = p * e + 0.19153652f;
  p = p * e - 0.24857163f;
  p = p * e + 0.333213225f;
  p = p * e - 0.49999648f;
  p = p * e + 1.0f;
  return p * e;
}
// 2 artanh(e / (2 + e)).
MMAVS_INLINE Vec<double> log1p(Vec<double> e) {
  const Vec<double> s = e / (e + 2.0), s2 = s * s;
  Vec<double> p = splat(1.0 / 35.0);
#pragma GCC unroll 17
  for (int k = 16; k >= 0; --k) p = p * s2 + 1.0 / (2 * k + 1);
  return 2.0 * s * p;
}

// softplus(x), and the e = exp(-|x|) from which its derivative follows.
template <typename T>
MMAVS_INLINE Vec<T> softplus(Vec<T> x, Vec<T>& e) {
  const Vec<T> zero{};
  const Vec<T> magnitude = x > zero ? -x : x;
  e = exp2(magnitude * T(1.44269504088896340736));
  return (x > zero ? x : zero) + log1p(e);
}
template <typename T>
MMAVS_INLINE Vec<T> softplus_slope(Vec<T> x, Vec<T> e) {
  const Vec<T> zero{}, one = splat(T(1));
  return (x > zero ? one : e) / (one + e);
}

// Sums of the lanes of eight consecutive vectors, added to sums[0...7].
template <typename T>
MMAVS_INLINE void add_lane_sums(const T* vectors, T* sums) {
  for (int i = 0; i < 8; ++i) {
    T sum = 0;
    for (int lane = 0; lane < kLanes<T>; ++lane) sum += vectors[i * kLanes<T> + lane];
    sums[i] += sum;
  }
}
#if defined(__AVX2__)
// The same from eight vectors of eight lanes: halves, then quarters, then neighbours are added.
MMAVS_INLINE void add_lane_sums_of_eight(const __m256 (&v)[8], float* sums) {
  __m256 q[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    q[i] = _mm256_add_ps(_mm256_blend_ps(v[i], v[i + 4], 0xF0), _mm256_permute2f128_ps(v[i], v[i + 4], 0x21));
  }
  const __m256 a = _mm256_add_ps(_mm256_unpacklo_ps(q[0], q[1]), _mm256_unpackhi_ps(q[0], q[1]));
  const __m256 b = _mm256_add_ps(_mm256_unpacklo_ps(q[2], q[3]), _mm256_unpackhi_ps(q[2], q[3]));
  const __m256 s = _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xEE));
  _mm256_storeu_ps(sums, _mm256_add_ps(_mm256_loadu_ps(sums), s));
}
template <>
MMAVS_INLINE void add_lane_sums<float>(const float* vectors, float* sums) {
  constexpr int V = kLanes<float>;
  __m256 v[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    v[i] = _mm256_loadu_ps(vectors + i * V);
    if (V == 16) v[i] = _mm256_add_ps(v[i], _mm256_loadu_ps(vectors + i * V + 8));
  }
  add_lane_sums_of_eight(v, sums);
}
#endif

}  // namespace MMAVS_ISA
}  // namespace mmavs
