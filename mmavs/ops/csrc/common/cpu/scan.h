// The scan on a CPU: choice of the instruction set, order of the tasks and sums over them. No torch: the caller gives a
// `parallel(tasks, function(first, last))`. Results do not depend on the number of threads.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "../scan_args.h"

namespace mmavs {

#define MMAVS_DECLARE(isa)                      \
  namespace isa {                               \
  extern const ScanKernel<float> kFloatKernel;   \
  extern const ScanKernel<double> kDoubleKernel; \
  }
MMAVS_DECLARE(generic)
#if defined(__x86_64__)
MMAVS_DECLARE(avx2)
MMAVS_DECLARE(avx512)
#endif
#undef MMAVS_DECLARE

// Instruction sets of this machine, the best first.
inline std::vector<std::string> usable_isas() {
  std::vector<std::string> names;
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) names.push_back("avx512");
  if (avx2) names.push_back("avx2");
#endif
  names.push_back("generic");
  return names;
}

// The best of them, or the one that the environment variable MMAVS_CPU_ISA names.
inline std::string chosen_isa() {
  static const std::vector<std::string> usable = usable_isas();
  const char* wish = std::getenv("MMAVS_CPU_ISA");
  if (!wish || !*wish) return usable.front();
  if (std::find(usable.begin(), usable.end(), wish) != usable.end()) return wish;
  std::string list;
  for (const auto& name : usable) list += (list.empty() ? "" : ", ") + name;
  throw std::runtime_error("MMAVS_CPU_ISA must be one of " + list + " on this machine, but is " + wish);
}

template <typename T>
const T& pick(const ScanKernel<float>& single, const ScanKernel<double>& twice);
template <>
inline const ScanKernel<float>& pick(const ScanKernel<float>& single, const ScanKernel<double>&) {
  return single;
}
template <>
inline const ScanKernel<double>& pick(const ScanKernel<float>&, const ScanKernel<double>& twice) {
  return twice;
}

template <typename T>
const ScanKernel<T>& scan_kernel() {
  const std::string isa = chosen_isa();
#if defined(__x86_64__)
  if (isa == "avx512") return pick<ScanKernel<T>>(avx512::kFloatKernel, avx512::kDoubleKernel);
  if (isa == "avx2") return pick<ScanKernel<T>>(avx2::kFloatKernel, avx2::kDoubleKernel);
#endif
  return pick<ScanKernel<T>>(generic::kFloatKernel, generic::kDoubleKernel);
}

// Channels of a task: the wider, the fewer times the rows of B and C are read; fewer where there would be less than `wanted`
// tasks.
template <typename T>
int64_t task_width(const ScanArgs<T>& args, int64_t wanted, int64_t smallest) {
  int64_t width = 256;
  while (width > smallest && args.batch * args.sets() * ((args.channels + width - 1) / width) < wanted) width /= 2;
  constexpr int64_t whole = 16;  // the longest vector of floats
  return std::min(width, (args.channels + whole - 1) / whole * whole);
}

template <typename T, typename Parallel>
void scan_forward(ScanArgs<T>& args, int64_t threads, const Parallel& parallel) {
  const ScanKernel<T>& kernel = scan_kernel<T>();
  args.width = task_width(args, threads, 16);  // no sum goes over channels: any width gives the same
  parallel(args.tasks(), [&](int64_t first, int64_t last) { kernel.forward(args, first, last); });
}

// Width of the tasks, and sizes of the buffers carry, params and rows. Tasks are whole units, and sums over channels go unit
// by unit: any width gives the same.
template <typename T>
std::vector<int64_t> plan_backward(BackwardArgs<T>& args, int64_t threads) {
  ScanArgs<T>& s = args.scan;
  s.width = task_width(s, threads, kUnit);
  const int64_t lanes = scan_kernel<T>().lanes;
  args.padded_rank = (s.rank + lanes - 1) / lanes * lanes;
  return {s.tasks() * s.states * s.width, s.tasks() * (s.shared ? s.scans : 1) * args.param_rows() * s.width,
          s.batch * s.sets() * args.units() * s.slab_chunks() * kChunk * args.row_size()};
}

// Sums over the units of what the tasks found for the chunks of one slab, to their places in dB, dC, ddelta.
template <typename T>
void merge_rows(const BackwardArgs<T>& args, int64_t scan, int64_t slab, int64_t first, int64_t last) {
  const ScanArgs<T>& s = args.scan;
  const int64_t size = kChunk * args.row_size(), n = s.states;
  const int64_t chunks = std::min(kSlabChunks, s.chunks() - slab * kSlabChunks);
  std::vector<T> sum(size);
  for (int64_t item = first; item < last; ++item) {
    const int64_t owner = item / chunks, chunk = item % chunks, batch = owner / s.sets();
    const int64_t k = s.shared ? scan : owner % s.sets(), start = (slab * kSlabChunks + chunk) * kChunk;
    std::fill(sum.begin(), sum.end(), T(0));
    for (int64_t unit = owner * args.units(); unit < (owner + 1) * args.units(); ++unit) {
      const T* part = args.sums_of(unit, chunk);
      for (int64_t j = 0; j < size; ++j) sum[j] += part[j];
    }
    const T *B = sum.data(), *C = B + kChunk * n, *factor = C + kChunk * n;
    for (int64_t i = 0; i < std::min(kChunk, s.length - start); ++i) {
      const int64_t place = s.index ? s.index[k * s.length + start + i] : start + i;
      const auto row = [&](const Tokens<T>& x) { return x.data + batch * x.batch + k * x.scan + place * x.token; };
      T *dB = row(args.dB), *dC = row(args.dC);
      for (int64_t j = 0; j < n;) {
        const int64_t states = n - j >= 2 ? 2 : 1, from = j * kChunk + i * states;
        for (int64_t m = 0; m < states; ++m, ++j) {
          dB[j * args.dB.channel] = B[from + m];
          dC[j * args.dC.channel] = C[from + m];
        }
      }
      for (int64_t r = 0; r < s.rank; ++r) row(args.ddelta)[r] = factor[i * args.padded_rank + r];
    }
  }
}

// Gradients of the parameters, sums over the sequences. Absent ones are null.
template <typename T>
struct ParamGradients {
  T *A, *D, *bias, *weight;
};

template <typename T>
void merge_params(const BackwardArgs<T>& args, const ParamGradients<T>& target, int lanes, int64_t first, int64_t last) {
  const ScanArgs<T>& s = args.scan;
  const int64_t n = s.states, size = args.param_rows(), scans_of_task = s.shared ? s.scans : 1;
  for (int64_t row = first; row < last; ++row) {
    const int64_t scan = row / s.channels, channel = row % s.channels, group = channel / s.width;
    const int64_t block = channel % s.width / lanes, lane = channel % s.width % lanes;
    const auto sum = [&](int64_t j) {
      T total = 0;
      for (int64_t batch = 0; batch < s.batch; ++batch) {
        const int64_t task = (batch * s.sets() + (s.shared ? 0 : scan)) * s.groups() + group;
        const int64_t part = task * scans_of_task + (s.shared ? scan : 0);
        total += args.params[(part * s.width + block * lanes) * size + j * lanes + lane];
      }
      return total;
    };
    for (int64_t j = 0; j < n; ++j) target.A[row * n + j] = sum(j);
    if (target.D) target.D[row] = sum(n);
    if (target.bias) target.bias[row] = sum(n + 1);
    for (int64_t r = 0; r < s.rank; ++r) target.weight[row * s.rank + r] = sum(n + 2 + r);
  }
}

template <typename T, typename Parallel>
void scan_backward(const BackwardArgs<T>& args, const ParamGradients<T>& target, const Parallel& parallel) {
  const ScanKernel<T>& kernel = scan_kernel<T>();
  const ScanArgs<T>& s = args.scan;
  for (int64_t scan = 0; scan < (s.shared ? s.scans : 1); ++scan)
    for (int64_t slab = s.slabs() - 1; slab >= 0; --slab) {
      parallel(s.tasks(), [&](int64_t first, int64_t last) { kernel.backward(args, scan, slab, first, last); });
      parallel(s.batch * s.sets() * std::min(kSlabChunks, s.chunks() - slab * kSlabChunks),
               [&](int64_t first, int64_t last) { merge_rows(args, scan, slab, first, last); });
    }
  parallel(s.scans * s.channels,
           [&](int64_t first, int64_t last) { merge_params(args, target, kernel.lanes, first, last); });
}

}  // namespace mmavs
