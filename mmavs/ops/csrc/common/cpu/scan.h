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

// Channels of a task: whole cache lines of a token's row, fewer where there would be less than `wanted` tasks.
template <typename T>
int64_t task_width(const ScanArgs<T>& args, int64_t wanted) {
  constexpr int64_t smallest = 16;  // the longest vector of floats
  int64_t width = 64;
  while (width > smallest && args.batch * args.sets() * ((args.channels + width - 1) / width) < wanted) width /= 2;
  return std::min(width, (args.channels + smallest - 1) / smallest * smallest);
}

template <typename T, typename Parallel>
void scan_forward(ScanArgs<T>& args, int64_t threads, const Parallel& parallel) {
  const ScanKernel<T>& kernel = scan_kernel<T>();
  args.width = task_width(args, 4 * threads);  // no sum goes over channels: any width gives the same
  parallel(args.tasks(), [&](int64_t first, int64_t last) { kernel.forward(args, first, last); });
}

// Width of the tasks and sizes of the buffers carry, params and rows; the width must not depend on the threads.
template <typename T>
std::vector<int64_t> plan_backward(BackwardArgs<T>& args) {
  ScanArgs<T>& s = args.scan;
  s.width = task_width(s, 16);
  const int64_t scans = s.shared ? s.scans : 1, tokens = std::min(s.slabs(), int64_t(1)) * kSlabChunks * kChunk;
  return {s.tasks() * s.states * s.width, s.tasks() * scans * args.param_rows() * s.width,
          s.tasks() * tokens * args.row_size()};
}

// Sums over the channel groups of what the tasks found for the tokens of one slab, to their places in dB, dC, ddelta.
template <typename T>
void merge_rows(const BackwardArgs<T>& args, int64_t scan, int64_t slab, int64_t first, int64_t last) {
  const ScanArgs<T>& s = args.scan;
  const int64_t size = args.row_size(), slab_tokens = kSlabChunks * kChunk, start = slab * slab_tokens;
  const int64_t tokens = std::min(slab_tokens, s.length - start), n = s.states;
  std::vector<T> sum(size);
  for (int64_t item = first; item < last; ++item) {
    const int64_t owner = item / tokens, token = item % tokens, batch = owner / s.sets();
    const int64_t k = s.shared ? scan : owner % s.sets(), group_step = slab_tokens * size;
    const T* row = args.rows + owner * s.groups() * group_step + token * size;
    std::copy(row, row + size, sum.begin());
    for (int64_t group = 1; group < s.groups(); ++group)
      for (int64_t j = 0; j < size; ++j) sum[j] += row[group * group_step + j];
    const int64_t place = s.index ? s.index[k * s.length + start + token] : start + token;
    const auto write = [&](const Tokens<T>& target, int64_t from, int64_t count) {
      T* out = target.data + batch * target.batch + k * target.scan + place * target.token;
      for (int64_t j = 0; j < count; ++j) out[j * target.channel] = sum[from + j];
    };
    write(args.dB, 0, n);
    write(args.dC, n, n);
    if (s.rank) write(args.ddelta, 2 * n, s.rank);
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
  const int64_t slab_tokens = kSlabChunks * kChunk;
  for (int64_t scan = 0; scan < (s.shared ? s.scans : 1); ++scan)
    for (int64_t slab = s.slabs() - 1; slab >= 0; --slab) {
      parallel(s.tasks(), [&](int64_t first, int64_t last) { kernel.backward(args, scan, slab, first, last); });
      const int64_t tokens = std::min(slab_tokens, s.length - slab * slab_tokens);
      parallel(s.batch * s.sets() * tokens,
               [&](int64_t first, int64_t last) { merge_rows(args, scan, slab, first, last); });
    }
  parallel(s.scans * s.channels,
           [&](int64_t first, int64_t last) { merge_params(args, target, kernel.lanes, first, last); });
}

}  // namespace mmavs
