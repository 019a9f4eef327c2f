// Schemas of the native scan ops. Kernels are registered per device in cpu/*.cpp and cuda/*.cu; the rules for tracing,
// autograd and autocast in mmavs/ops/schemas.py.
//
// Letters: B sequences, K scan orders, G groups, L tokens, C or D channels, n state size, R rank of the step size.
//
// cross_scan: u (B, L, C); delta (B, K, L, C), or with dt_weight (K, C, R) its factor (B, K, L, R); A (K*C, n);
//   Bm, Cm (B, K, L, n); D, delta_bias (K*C); index (K, L) int32. Tokens lie in natural order, may be strided and are of
//   one dtype (double, float, bfloat16 or half). A, D, delta_bias, dt_weight have the dtype of the sums: double for
//   double tokens, else float. out (B, y_len, C) has the dtype of the sums, and so have all gradients.
//   states (B, K, ceil(L / chunk), n, C), dtype of the sums: the state before each chunk of tokens, in the order in
//   which scan k visits them; (0) without save_states. Chunks of 64 tokens (CHUNK in mmavs/ops/reference.py).
// selective_scan: u, delta (B, D, L); A (D, n); Bm, Cm (B, G, n, L); D, delta_bias (D); out (B, D, L);
//   last_state (B, D, n); states (B, G, ceil(L / chunk), n, D / G).
// Absent inputs have empty gradients.
// scan_exp2: 2^x as the CPU kernels compute it, `repeats` times over, in pieces that stay in cache: for tests, and for the
//   floor that bench_scan.py compares with. x has a multiple of 1024 values.

#include <torch/library.h>

TORCH_LIBRARY(mmavs, m) {
  m.def(
      "cross_scan_fwd(Tensor u, Tensor delta, Tensor A, Tensor Bm, Tensor Cm, Tensor? D, Tensor? delta_bias, "
      "Tensor index, Tensor? dt_weight, bool delta_softplus, SymInt y_start, SymInt y_len, bool save_states) "
      "-> (Tensor out, Tensor states)");
  m.def(
      "cross_scan_bwd(Tensor dout, Tensor u, Tensor delta, Tensor A, Tensor Bm, Tensor Cm, Tensor? D, "
      "Tensor? delta_bias, Tensor index, Tensor? dt_weight, Tensor states, bool delta_softplus, SymInt y_start) "
      "-> (Tensor du, Tensor ddelta, Tensor dA, Tensor dBm, Tensor dCm, Tensor dD, Tensor ddelta_bias, "
      "Tensor ddt_weight)");
  m.def(
      "selective_scan_fwd(Tensor u, Tensor delta, Tensor A, Tensor Bm, Tensor Cm, Tensor? D, Tensor? delta_bias, "
      "bool delta_softplus, bool save_states) -> (Tensor out, Tensor last_state, Tensor states)");
  m.def(
      "selective_scan_bwd(Tensor dout, Tensor u, Tensor delta, Tensor A, Tensor Bm, Tensor Cm, Tensor? D, "
      "Tensor? delta_bias, Tensor states, bool delta_softplus) "
      "-> (Tensor du, Tensor ddelta, Tensor dA, Tensor dBm, Tensor dCm, Tensor dD, Tensor ddelta_bias)");
  m.def("scan_exp2(Tensor x, int repeats) -> Tensor");
}
