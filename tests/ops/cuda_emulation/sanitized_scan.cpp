// Forward and backward passes on arrays of exactly the size they need, as a program of its own, for the compiler's
// sanitizers: that of threads finds races, that of addresses what lies outside shared memory or an array.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

extern "C" {
int emulated_forward(int kind, const int64_t* sizes, void* const* in, void* const* out);
int emulated_backward(int kind, const int64_t* sizes, void* const* in, void* const* out);
int emulated_interval(int states);
void emulated_device(int resident, int schedule);
}

namespace {

uint32_t noise = 1;

// Floats in [-1, 1]; as bits of bfloat16 (kind 2) or half (kind 3), where 0x3800 + i is in [0.5, 1).
template <typename T>
std::vector<T> random_values(size_t count, int kind) {
  std::vector<T> values(count);
  for (T& value : values) {
    noise = noise * 1664525u + 1013904223u;
    if (kind < 2)
      value = T((noise >> 8) * 0x1p-23 - 1);
    else
      value = kind == 2 ? T(0x3f00 + (noise >> 26)) : T(0x3800 + (noise >> 24));
  }
  return values;
}

template <typename T, typename acc_t>
void run(int kind, int B, int K, int L, int C, int N, int R, int y_start, int y_length, int resident, bool plain) {
  std::printf("kind %d B %d K %d L %d C %d N %d R %d rows %d + %d\n", kind, B, K, L, C, N, R, y_start, y_length);
  emulated_device(resident, 0);
  const size_t tokens = size_t(B) * L, rows = size_t(K) * C, width = R > 0 ? R : C;
  auto u = random_values<T>(tokens * C, kind), delta = random_values<T>(tokens * K * width, kind);
  auto Bm = random_values<T>(tokens * K * N, kind), Cm = random_values<T>(tokens * K * N, kind);
  auto A = random_values<acc_t>(rows * N, 0), D = random_values<acc_t>(rows, 0), bias = random_values<acc_t>(rows, 0);
  auto weight = random_values<acc_t>(rows * R, 0), dout = random_values<acc_t>(size_t(B) * y_length * C, 0);
  for (acc_t& a : A) a = -std::abs(a);
  std::vector<int> index(size_t(K) * L);
  for (int i = 0; i < K * L; ++i) index[i] = i / L % 2 ? L - 1 - i % L : i % L;
  const int64_t l = L, c = C, n = N, k = K, w = width, y = y_length;
  const int64_t sizes[] = {B, k, l, c, n, R, y_start, y, 1, 1, l * c, 0, c, k * l * w, l * w, w,
                           k * l * n, l * n, n, k * l * n, l * n, n, y * c, 0, c};
  const int interval = emulated_interval(N);
  std::vector<acc_t> saved(B * rows * N * ((L + interval - 1) / interval)), last(B * rows * N), out(dout.size());
  void* const in[] = {u.data(), delta.data(), A.data(), Bm.data(), Cm.data(), plain ? nullptr : D.data(),
                      plain ? nullptr : bias.data(), plain ? nullptr : index.data(), R ? weight.data() : nullptr,
                      dout.data(), saved.data()};
  void* const results[] = {out.data(), saved.data(), last.data()};
  std::vector<acc_t> dD(rows), dbias(rows), grads[] = {
      std::vector<acc_t>(u.size()), std::vector<acc_t>(delta.size()), std::vector<acc_t>(A.size()),
      std::vector<acc_t>(Bm.size()), std::vector<acc_t>(Cm.size()), std::vector<acc_t>(weight.size())};
  void* const gradients[] = {grads[0].data(), grads[1].data(), grads[2].data(), grads[3].data(), grads[4].data(),
                             plain ? nullptr : dD.data(), plain ? nullptr : dbias.data(),
                             R ? grads[5].data() : nullptr};
  if (emulated_forward(kind, sizes, in, results) || emulated_backward(kind, sizes, in, gradients)) std::abort();
}

}  // namespace

int main() {
#ifdef __SANITIZE_THREAD__  // slow, and the barriers are those of all numbers of states up to 16
  for (int N : {2, 16, 19}) {
#else
  for (int N : {1, 2, 4, 5, 16, 19}) {
#endif
    run<float, float>(0, 1, 2, 170, 5, N, 5, 20, 100, 12, false);
    run<float, float>(0, 2, 1, 21, N < 5 ? 131 : 33, N, 0, 0, 21, 1, true);
  }
  run<double, double>(1, 1, 2, 21, 3, 3, 2, 0, 21, 1, false);
  run<uint16_t, float>(2, 1, 2, 18, 5, 16, 20, 0, 0, 1, false);
  run<uint16_t, float>(3, 1, 2, 33, 7, 8, 0, 0, 33, 1, false);
}
