// Forward scan. A task is a sequence and a group of channels; it walks along its scans chunk by chunk.
#pragma once

#include "scan_tile.h"

namespace mmavs {
namespace MMAVS_ISA {

// N states of one block of channels over a chunk: the state stays in registers, y in the tile.
template <typename T, int N, bool WithY>
void forward_states(const T* step, const T* input, T* y, const T* decay, const T* B, const T* C, int64_t n, T* state,
                    int count) {
  constexpr int V = kLanes<T>;
  Vec<T> a[N], h[N];
#pragma GCC unroll 4
  for (int j = 0; j < N; ++j) {
    a[j] = load(decay + j * V);
    h[j] = load(state + j * V);
  }
  for (int i = 0; i < count; ++i) {
    const Vec<T> delta = load(step + i * V), in = load(input + i * V);
    Vec<T> out{};
    if (WithY) out = load(y + i * V);
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
      h[j] = exp2(delta * a[j]) * h[j] + in * B[i * n + j];
      if (WithY) out += h[j] * C[i * n + j];
    }
    if (WithY) store(y + i * V, out);
  }
#pragma GCC unroll 4
  for (int j = 0; j < N; ++j) store(state + j * V, h[j]);
}

template <typename T, bool WithY>
void forward_block(const T* step, const T* input, T* y, const T* decay, const ChunkRows<T>& rows, int64_t n, T* state,
                   int count) {
  constexpr int V = kLanes<T>;
  int64_t j = 0;
  for (; j + 4 <= n; j += 4) {
    forward_states<T, 4, WithY>(step, input, y, decay + j * V, rows.B + j, rows.C + j, n, state + j * V, count);
  }
  for (; j + 2 <= n; j += 2) {
    forward_states<T, 2, WithY>(step, input, y, decay + j * V, rows.B + j, rows.C + j, n, state + j * V, count);
  }
  if (j < n) forward_states<T, 1, WithY>(step, input, y, decay + j * V, rows.B + j, rows.C + j, n, state + j * V, count);
}

// From u and raw step sizes to step sizes, inputs delta * u and y = D * u.
template <typename T>
void forward_prepare(T* step, T* input, T* y, const T* bias, const T* skip, bool with_softplus, int count) {
  constexpr int V = kLanes<T>;
  const Vec<T> b = load(bias), d = load(skip);
  for (int i = 0; i < count; ++i) {
    const Vec<T> u = load(y + i * V);
    Vec<T> delta = load(step + i * V) + b, unused;
    if (with_softplus) delta = softplus<T>(delta, unused);
    store(step + i * V, delta);
    store(input + i * V, delta * u);
    store(y + i * V, d * u);
  }
}

template <typename T>
void forward_scan(const ScanArgs<T>& args, int64_t batch, int64_t scan, int64_t channel, bool add, TaskParams<T>& params,
                  ChunkRows<T>& rows, T* state, T* const tiles[3]) {
  constexpr int V = kLanes<T>;
  const int64_t n = args.states, chunks = args.chunks();
  T *step = tiles[0], *input = tiles[1], *y = tiles[2];
    params.load(args, scan, channel);
  zero(state, n * args.width);
  for (int64_t number = 0; number < chunks; ++number) {
    const Chunk chunk = make_chunk(args, scan, number);
    const bool wanted = any_wanted(args, chunk);
    rows.load(args, batch, scan, chunk);
    const Chunk next = make_chunk(args, scan, number + 1 < chunks ? number + 1 : number);
    rows.prefetch(args, batch, scan, next);
    for (int b = 0; b < params.blocks; ++b) {
      const int lanes = TaskParams<T>::lanes_of(args, channel, b);
      const int64_t first = channel + b * V;
      T* h = state + b * n * V;
      if (args.checkpoints) {
        T* saved = args.checkpoints + ((batch * args.scans + scan) * chunks + number) * n * args.channels + first;
        for (int64_t j = 0; j < n; ++j) {
          if (lanes == V) store(saved + j * args.channels, load(h + j * V));
          else std::memcpy(saved + j * args.channels, h + j * V, lanes * sizeof(T));
        }
      }
      load_tile(y, rows_of(args.u, batch, scan) + first * args.u.channel, args.u, chunk, lanes);
      prefetch_tile(rows_of(args.u, batch, scan) + first * args.u.channel, args.u, next);
      load_steps(step, args, rows, params, b, batch, scan, first, chunk, next, lanes);
      forward_prepare(step, input, y, params.bias + b * V, params.skip + b * V, args.softplus, chunk.count);
      const T* decay = params.decay + b * n * V;
      if (!wanted) {
        forward_block<T, false>(step, input, y, decay, rows, n, h, chunk.count);
        continue;
      }
      forward_block<T, true>(step, input, y, decay, rows, n, h, chunk.count);
      T* out = args.out.data + batch * args.out.batch + scan * args.out.scan + first * args.out.channel;
      store_tile(y, out, args.out, chunk, lanes, add, args.y_start, args.y_start + args.y_len);
      if (args.y_len == args.length) prefetch_tile<T>(out, args.out, next);
    }
  }
  if (args.last_state) {
    for (int b = 0; b < params.blocks; ++b)
      for (int c = 0; c < TaskParams<T>::lanes_of(args, channel, b); ++c)
        for (int64_t j = 0; j < n; ++j) {
          const int64_t row = (batch * args.scans + scan) * args.channels + channel + b * V + c;
          args.last_state[row * n + j] = state[(b * n + j) * V + c];
        }
  }
}

template <typename T>
void forward(const ScanArgs<T>& args, int64_t first_task, int64_t last_task) {
  Arena<T> arena(TaskParams<T>::size(args) + ChunkRows<T>::size(args) + args.width * args.states +
                 3 * kChunk * kLanes<T>);
  TaskParams<T> params(args, arena);
  ChunkRows<T> rows(args, arena);
  T* state = arena.take(args.width * args.states);
  constexpr int64_t tile = kChunk * kLanes<T>;
  T* const tiles[3] = {arena.take(tile), arena.take(tile), arena.take(tile)};
  const int64_t groups = args.groups(), sets = args.sets();
  for (int64_t task = first_task; task < last_task; ++task) {
    const int64_t channel = task % groups * args.width, set = task / groups % sets, batch = task / groups / sets;
    if (!args.shared) {
      forward_scan(args, batch, set, channel, false, params, rows, state, tiles);
      continue;
    }
    for (int64_t scan = 0; scan < args.scans; ++scan) {
      forward_scan(args, batch, scan, channel, scan > 0, params, rows, state, tiles);
    }
  }
}

}  // namespace MMAVS_ISA
}  // namespace mmavs
