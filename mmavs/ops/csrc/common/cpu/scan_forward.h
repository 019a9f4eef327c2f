// Forward scan. A task is a sequence and a group of channels; it walks along its scans chunk by chunk.
#pragma once

#include <initializer_list>

#include "chunk_tiles.h"

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
void forward_prepare(const T* u, T* step, T* input, T* y, const T* bias, const T* skip, bool with_softplus,
                     int count) {
  constexpr int V = kLanes<T>;
  const Vec<T> b = load(bias), d = load(skip);
  for (int i = 0; i < count; ++i) {
    const Vec<T> x = load(u + i * V);
    Vec<T> delta = load(step + i * V) + b, unused;
    if (with_softplus) delta = softplus<T>(delta, unused);
    store(step + i * V, delta);
    store(input + i * V, delta * x);
    store(y + i * V, d * x);
  }
}

// Everything a task needs for one of its scans. Two sets of tiles take turns: while a chunk is computed, u of the next one
// is read and y of the last one is written.
template <typename T>
struct ForwardTask {
  TaskParams<T> params;
  ChunkRows<T> rows;
  ChunkTiles<T> u[2], y[2];
  T *state, *step, *input;  // (blocks, n, V), (kChunk, V), (kChunk, V)

  static int64_t size(const ScanArgs<T>& args) {
    return TaskParams<T>::size(args) + ChunkRows<T>::size(args) + 4 * ChunkTiles<T>::size(args) +
           args.width * args.states + 2 * kChunk * kLanes<T>;
  }
  ForwardTask(const ScanArgs<T>& args, Arena<T>& arena)
      : params(args, arena), rows(args, arena), state(arena.take(args.width * args.states)),
        step(arena.take(kChunk * kLanes<T>)), input(arena.take(kChunk * kLanes<T>)) {
    for (ChunkTiles<T>* tiles : {&u[0], &u[1], &y[0], &y[1]}) tiles->data = arena.take(ChunkTiles<T>::size(args));
  }
};

template <typename T>
void save_state(const ScanArgs<T>& args, const T* state, int64_t row, int64_t number, int64_t first, int lanes) {
  T* saved = args.checkpoints + (row * args.chunks() + number) * args.states * args.channels + first;
  for (int64_t j = 0; j < args.states; ++j) {
    if (lanes == kLanes<T>) store(saved + j * args.channels, load(state + j * kLanes<T>));
    else std::memcpy(saved + j * args.channels, state + j * kLanes<T>, lanes * sizeof(T));
  }
}

template <typename T>
void write_last_state(const ScanArgs<T>& args, const T* state, int64_t row, int64_t channel, int channels) {
  constexpr int V = kLanes<T>;
  for (int c = 0; c < channels; ++c)
    for (int64_t j = 0; j < args.states; ++j) {
      const int64_t target = (row * args.channels + channel + c) * args.states + j;
      args.last_state[target] = state[(c / V * args.states + j) * V + c % V];
    }
}

template <typename T>
void forward_scan(const ScanArgs<T>& args, int64_t batch, int64_t scan, int64_t channel, bool add,
                  ForwardTask<T>& task) {
  constexpr int V = kLanes<T>;
  const int64_t n = args.states, chunks = args.chunks(), row = batch * args.scans + scan;
  task.params.load(args, scan, channel);
  const int blocks = task.params.blocks, channels = TaskParams<T>::channels_of(args, channel);
  const T* u = rows_of(args.u, batch, scan) + channel * args.u.channel;
  T* out = args.out.data + batch * args.out.batch + scan * args.out.scan + channel * args.out.channel;
  const auto write = [&](int64_t number, int part) {
    store_part(task.y[number % 2], out, args.out, make_chunk(args, scan, number), channels, add, args.y_start,
               args.y_start + args.y_len, part, blocks);
  };
  zero(task.state, n * args.width);
  bool wanted = false, wanted_last = false;
  for (int part = 0; part < blocks; ++part) {
    load_part(task.u[0], u, args.u, make_chunk(args, scan, 0), channels, 0, args.length, part,
              blocks);
  }
  for (int64_t number = 0; number < chunks; ++number, wanted_last = wanted) {
    const Chunk chunk = make_chunk(args, scan, number), next = make_chunk(args, scan, number + 1);
    wanted = any_wanted(args, chunk);
    task.rows.load(args, batch, scan, chunk);
    if (number + 1 < chunks) task.rows.prefetch(args, batch, scan, next);
    for (int b = 0; b < blocks; ++b) {
      if (number + 1 < chunks) load_part(task.u[(number + 1) % 2], u, args.u, next, channels, 0, args.length, b, blocks);
      if (wanted_last) write(number - 1, b);
      const int lanes = TaskParams<T>::lanes_of(args, channel, b);
      T *h = task.state + b * n * V, *y = task.y[number % 2].tile(b);
      if (args.checkpoints) save_state(args, h, row, number, channel + b * V, lanes);
      load_steps(task.step, args, task.rows, task.params, b, batch, scan, channel + b * V, chunk, lanes);
      forward_prepare(task.u[number % 2].tile(b), task.step, task.input, y, task.params.bias + b * V,
                      task.params.skip + b * V, args.softplus, chunk.count);
      const auto run = wanted ? forward_block<T, true> : forward_block<T, false>;
      run(task.step, task.input, y, task.params.decay + b * n * V, task.rows, n, h, chunk.count);
    }
  }
  for (int part = 0; part < blocks && wanted; ++part) write(chunks - 1, part);
  if (args.last_state) write_last_state(args, task.state, row, channel, channels);
}

template <typename T>
void forward(const ScanArgs<T>& args, int64_t first_task, int64_t last_task) {
  Arena<T> arena(ForwardTask<T>::size(args));
  ForwardTask<T> buffers(args, arena);
  const int64_t groups = args.groups(), sets = args.sets();
  for (int64_t task = first_task; task < last_task; ++task) {
    const int64_t channel = task % groups * args.width, set = task / groups % sets, batch = task / groups / sets;
    if (!args.shared) {
      forward_scan(args, batch, set, channel, false, buffers);
      continue;
    }
    for (int64_t scan = 0; scan < args.scans; ++scan) forward_scan(args, batch, scan, channel, scan > 0, buffers);
  }
}

}  // namespace MMAVS_ISA
}  // namespace mmavs
