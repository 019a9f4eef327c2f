// Sums over channels in the backward scan: gradients of B, C and of the low-rank step size.
#pragma once

#include "vec.h"

namespace mmavs {
namespace MMAVS_ISA {

// Lane sums of `count` vectors, added to sums.
template <typename T>
void add_sums(const T* vectors, T* sums, int count) {
  constexpr int V = kLanes<T>;
  int i = 0;
  for (; i + 8 <= count; i += 8) add_lane_sums<T>(vectors + i * V, sums + i);
  for (; i < count; ++i)
    for (int lane = 0; lane < V; ++lane) sums[i] += vectors[i * V + lane];
}

// sums[r] += sum_i factor[i][r] vectors[i] for N neighbours r.
template <typename T, int N>
void add_weighted(const T* vectors, const T* factor, int64_t rank, T* sums, int count) {
  constexpr int V = kLanes<T>;
  Vec<T> sum[N];
#pragma GCC unroll 8
  for (int r = 0; r < N; ++r) sum[r] = load(sums + r * V);
  for (int i = 0; i < count; ++i) {
    const Vec<T> x = load(vectors + i * V);
#pragma GCC unroll 8
    for (int r = 0; r < N; ++r) sum[r] += x * factor[i * rank + r];
  }
#pragma GCC unroll 8
  for (int r = 0; r < N; ++r) store(sums + r * V, sum[r]);
}

// Gradient of the factor, sums[i][r] += sum_c draw[i][c] weight[c][r], and of the weight, dweight[r] += factor[i][r] draw[i].
template <typename T>
void backward_factor(const T* draw, const T* factor, const T* weight, int64_t padded_rank, int64_t rank, T* sums,
                     T* dweight, int count, int lanes) {
  constexpr int V = kLanes<T>;
  for (int64_t r = 0; r < padded_rank; r += V) {
    int i = 0;
    for (; i + 4 <= count; i += 4) {
      Vec<T> sum[4];
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) sum[j] = load(sums + (i + j) * padded_rank + r);
      for (int c = 0; c < lanes; ++c) {
        const Vec<T> w = load(weight + c * padded_rank + r);
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) sum[j] += w * draw[(i + j) * V + c];
      }
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) store(sums + (i + j) * padded_rank + r, sum[j]);
    }
    for (; i < count; ++i) {
      Vec<T> sum = load(sums + i * padded_rank + r);
      for (int c = 0; c < lanes; ++c) sum += load(weight + c * padded_rank + r) * draw[i * V + c];
      store(sums + i * padded_rank + r, sum);
    }
  }
  int64_t r = 0;
  for (; r + 8 <= rank; r += 8) add_weighted<T, 8>(draw, factor + r, rank, dweight + r * V, count);
  for (; r < rank; ++r) add_weighted<T, 1>(draw, factor + r, rank, dweight + r * V, count);
}

}  // namespace MMAVS_ISA
}  // namespace mmavs
