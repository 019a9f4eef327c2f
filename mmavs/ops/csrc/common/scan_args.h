// What a scan kernel is told: plain structs, no torch.
//
// Letters: B sequences, K scans, L tokens, C channels, n state size, R rank of the step size.
#pragma once

#include <cstdint>

namespace mmavs {

// Tokens between two saved states. Also CHUNK in mmavs/ops/reference.py.
constexpr int64_t kChunk = 64;
// Chunks that the backward pass handles before it adds up what the tasks have found for the same tokens.
constexpr int64_t kSlabChunks = 16;
// Channels whose gradients of B, C and the factor are added up first: sums do not depend on how wide the tasks are.
constexpr int64_t kUnit = 64;

// A tensor of (batch, scan, token, channel); the scan stride of shared tokens is 0.
template <typename T>
struct Tokens {
  T* data;
  int64_t batch, scan, token, channel;
};

// h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t, y_t = C_t h_t + D u_t; scan k visits token index[k, i] at step i.
template <typename T>
struct ScanArgs {
  int64_t batch, scans, length, channels, states, rank;  // rank 0: the step sizes are given, not their factor
  bool shared;    // the scans share u, and their outputs are summed
  bool softplus;
  Tokens<const T> u, delta, Bm, Cm;
  const T* A;          // (K*C, n)
  const T* D;          // (K*C) or null
  const T* bias;       // (K*C) or null
  const T* dt_weight;  // (K, C, R) or null
  const int32_t* index;  // (K, L) or null: tokens are visited as they lie
  int64_t y_start, y_len;
  int64_t width;  // channels of a task, a multiple of the vector length

  Tokens<T> out;
  T* checkpoints;  // (B, K, chunks, n, C) or null; read by the backward pass
  T* last_state;   // (B, K*C, n) or null

  int64_t groups() const { return (channels + width - 1) / width; }
  int64_t sets() const { return shared ? 1 : scans; }
  int64_t tasks() const { return batch * sets() * groups(); }
  int64_t chunks() const { return (length + kChunk - 1) / kChunk; }
  int64_t slab_chunks() const { return chunks() < kSlabChunks ? chunks() : kSlabChunks; }
  int64_t slabs() const { return (chunks() + kSlabChunks - 1) / kSlabChunks; }
};

// Buffers of the backward pass. A task owns its part of each, so that nothing depends on the number of threads.
template <typename T>
struct BackwardArgs {
  ScanArgs<T> scan;
  Tokens<const T> dout;  // starts at token y_start
  Tokens<T> du, ddelta;  // ddelta of the factor where there is one
  Tokens<T> dB, dC;
  T* carry;   // (tasks, n, width): gradient of the state, handed from slab to slab
  T* params;  // (tasks, K or 1, n + 2 + R, width): gradients of A, D, bias and dt_weight
  T* rows;    // (B * sets, units, chunks of a slab, kChunk * (2n + padded rank)): gradients of B, C and the factor
  int64_t padded_rank;  // R rounded up to whole vectors

  // Values per token. A chunk holds B and C in pieces of two states, an odd last one alone, each (tokens, states); then
  // the factor.
  int64_t row_size() const { return 2 * scan.states + padded_rank; }
  int64_t units() const { return (scan.channels + kUnit - 1) / kUnit; }
  // Place in `rows` of the sums of a unit (counted over all sequences and sets) for a chunk of the slab.
  T* sums_of(int64_t unit, int64_t chunk) const {
    return rows + (unit * scan.slab_chunks() + chunk) * kChunk * row_size();
  }
  int64_t param_rows() const { return scan.states + 2 + scan.rank; }
};

// The kernel of one instruction set. A range of tasks may run on any thread.
template <typename T>
struct ScanKernel {
  int lanes;
  void (*forward)(const ScanArgs<T>& args, int64_t first_task, int64_t last_task);
  void (*backward)(const BackwardArgs<T>& args, int64_t scan, int64_t slab, int64_t first_task, int64_t last_task);
  void (*exp2)(const T* x, T* y, int64_t size);  // whole vectors; for tests and for the benchmark's floor
};

}  // namespace mmavs
