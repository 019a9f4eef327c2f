// Backward scan of one slab of chunks. The states of a chunk are computed again from its checkpoint; the gradient of the
// state is carried from chunk to chunk, and from slab to slab through memory.
#pragma once

#include "scan_sums.h"
#include "scan_tile.h"

namespace mmavs {
namespace MMAVS_ISA {

// Tiles of one block of channels over a chunk.
template <typename T>
struct BackwardTiles {
  T *u, *step, *input, *slope, *dy, *dstep, *dinput;
  T *decays, *states;  // of up to four states: (count, N, V) and (count + 1, N, V)

  static constexpr int64_t kTile = kChunk * kLanes<T>;
  static int64_t size() { return 7 * kTile + 4 * kTile + 4 * (kTile + kLanes<T>); }
  explicit BackwardTiles(Arena<T>& arena)
      : u(arena.take(kTile)), step(arena.take(kTile)), input(arena.take(kTile)), slope(arena.take(kTile)),
        dy(arena.take(kTile)), dstep(arena.take(kTile)), dinput(arena.take(kTile)), decays(arena.take(4 * kTile)),
        states(arena.take(4 * (kTile + kLanes<T>))) {}
};

// Gradients per token that all blocks of a task add up, in their part of BackwardArgs::rows: B and C as pieces (count, N)
// in the order in which the states are handled, and the factor (count, R rounded up).
template <typename T>
struct TokenSums {
  T *B, *C, *factor;
};

template <typename T, int N, bool WithY>
void backward_states(const BackwardTiles<T>& tiles, const T* decay, const T* B, const T* C, int64_t n,
                     const T* checkpoint, int64_t checkpoint_stride, T* carry, T* ddecay, int count) {
  constexpr int V = kLanes<T>;
  Vec<T> a[N], h[N], g[N], da[N];
#pragma GCC unroll 4
  for (int j = 0; j < N; ++j) {
    a[j] = load(decay + j * V);
    h[j] = load(checkpoint + j * checkpoint_stride);
    store(tiles.states + j * V, h[j]);
  }
  for (int i = 0; i < count; ++i) {
    const Vec<T> delta = load(tiles.step + i * V), in = load(tiles.input + i * V);
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
      const Vec<T> e = exp2(delta * a[j]);
      h[j] = e * h[j] + in * B[i * n + j];
      store(tiles.decays + (i * N + j) * V, e);
      store(tiles.states + ((i + 1) * N + j) * V, h[j]);
    }
  }
#pragma GCC unroll 4
  for (int j = 0; j < N; ++j) {
    g[j] = load(carry + j * V);
    da[j] = load(ddecay + j * V);
  }
  for (int i = count - 1; i >= 0; --i) {
    const Vec<T> delta = load(tiles.step + i * V), in = load(tiles.input + i * V);
    Vec<T> dy{}, dstep = load(tiles.dstep + i * V), dinput = load(tiles.dinput + i * V);
    if (WithY) dy = load(tiles.dy + i * V);
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
      T* e = tiles.decays + (i * N + j) * V;
      T* state = tiles.states + ((i + 1) * N + j) * V;
      if (WithY) {
        g[j] += dy * C[i * n + j];
        store(state, dy * load(state));  // the state is not needed again: its place takes the gradient of C
      }
      dinput += g[j] * B[i * n + j];
      const Vec<T> before = load(state - N * V), dB = g[j] * in;
      g[j] *= load(e);
      store(e, dB);
      const Vec<T> q = g[j] * before;
      da[j] += q * delta;
      dstep += q * a[j];
    }
    store(tiles.dstep + i * V, dstep);
    store(tiles.dinput + i * V, dinput);
  }
#pragma GCC unroll 4
  for (int j = 0; j < N; ++j) {
    store(carry + j * V, g[j]);
    store(ddecay + j * V, da[j]);
  }
}

template <typename T, int N>
void backward_group(const BackwardTiles<T>& tiles, const T* decay, const ChunkRows<T>& rows, const TokenSums<T>& sums,
                    int64_t j, int64_t n, const T* checkpoint, int64_t checkpoint_stride, T* carry, T* ddecay,
                    bool wanted, int count) {
  constexpr int V = kLanes<T>;
  const auto run = wanted ? backward_states<T, N, true> : backward_states<T, N, false>;
  run(tiles, decay + j * V, rows.B + j, rows.C + j, n, checkpoint + j * checkpoint_stride, checkpoint_stride,
      carry + j * V, ddecay + j * V, count);
  add_sums(tiles.decays, sums.B + j * kChunk, count * N);
  if (wanted) add_sums(tiles.states + N * V, sums.C + j * kChunk, count * N);
}

// Before the states: from u and raw step sizes to step sizes, their slopes and inputs.
template <typename T>
void backward_prepare(const BackwardTiles<T>& tiles, const T* bias, bool with_softplus, int count) {
  constexpr int V = kLanes<T>;
  const Vec<T> b = load(bias), nothing{};
  for (int i = 0; i < count; ++i) {
    const Vec<T> raw = load(tiles.step + i * V) + b;
    Vec<T> delta = raw, slope = splat(T(1)), e;
    if (with_softplus) {
      delta = softplus<T>(raw, e);
      slope = softplus_slope<T>(raw, e);
    }
    store(tiles.step + i * V, delta);
    store(tiles.slope + i * V, slope);
    store(tiles.input + i * V, delta * load(tiles.u + i * V));
    store(tiles.dstep + i * V, nothing);
    store(tiles.dinput + i * V, nothing);
  }
}

// After the states: dinput becomes the gradient of u, dstep that of the raw step size.
template <typename T>
void backward_finish(const BackwardTiles<T>& tiles, const T* skip, T* dskip, T* dbias, int count) {
  constexpr int V = kLanes<T>;
  const Vec<T> d = load(skip);
  Vec<T> skip_sum = load(dskip), bias_sum = load(dbias);
  for (int i = 0; i < count; ++i) {
    const Vec<T> u = load(tiles.u + i * V), dy = load(tiles.dy + i * V), dinput = load(tiles.dinput + i * V);
    // The states saw log2(e) A, and the decay's derivative has the factor A.
    const Vec<T> dstep = load(tiles.dstep + i * V) * T(0.693147180559945309417) + dinput * u;
    const Vec<T> draw = dstep * load(tiles.slope + i * V);
    skip_sum += dy * u;
    bias_sum += draw;
    store(tiles.dstep + i * V, draw);
    store(tiles.dinput + i * V, dinput * load(tiles.step + i * V) + d * dy);
  }
  store(dskip, skip_sum);
  store(dbias, bias_sum);
}

// Everything a task needs for one of its scans.
template <typename T>
struct BackwardTask {
  TaskParams<T> params;
  ChunkRows<T> rows;
  BackwardTiles<T> tiles;
  T* weight;      // (width, R rounded up): as given, a row per channel
  T* checkpoint;  // (n, V): of a block that is no whole vector

  static int64_t size(const BackwardArgs<T>& args) {
    const ScanArgs<T>& s = args.scan;
    return TaskParams<T>::size(s) + ChunkRows<T>::size(s) + BackwardTiles<T>::size() + s.width * args.padded_rank +
           s.states * kLanes<T>;
  }
  BackwardTask(const BackwardArgs<T>& args, Arena<T>& arena)
      : params(args.scan, arena), rows(args.scan, arena), tiles(arena),
        weight(arena.take(args.scan.width * args.padded_rank)),
        checkpoint(arena.take(args.scan.states * kLanes<T>)) {}
};

template <typename T>
void backward_block(const BackwardArgs<T>& args, BackwardTask<T>& task, int64_t batch, int64_t scan, int64_t channel,
                    int block, const Chunk& chunk, const Chunk& next, int64_t number, bool wanted, bool add,
                    const TokenSums<T>& sums, T* carry, T* dparams) {
  constexpr int V = kLanes<T>;
  const ScanArgs<T>& s = args.scan;
  const int64_t n = s.states, first = channel + block * V, row = batch * s.scans + scan;
  const int lanes = TaskParams<T>::lanes_of(s, channel, block), count = chunk.count;
  const BackwardTiles<T>& tiles = task.tiles;
  load_tile(tiles.u, rows_of(s.u, batch, scan) + first * s.u.channel, s.u, chunk, lanes);
  load_steps(tiles.step, s, task.rows, task.params, block, batch, scan, first, chunk, next, lanes);
  const T* dout = rows_of(args.dout, batch, scan) + first * args.dout.channel;
  prefetch_tile(rows_of(s.u, batch, scan) + first * s.u.channel, s.u, next);
  if (s.y_len == s.length) {
    load_tile(tiles.dy, dout, args.dout, chunk, lanes);
    prefetch_tile(dout, args.dout, next);
  } else {
    zero(tiles.dy, count * V);
    for (int i = 0; i < count; ++i) {
      const int64_t position = chunk.position(i) - s.y_start;
      if (position < 0 || position >= s.y_len) continue;
      const T* source = dout + position * args.dout.token;
      for (int c = 0; c < lanes; ++c) tiles.dy[i * V + c] = source[c * args.dout.channel];
    }
  }
  backward_prepare(tiles, task.params.bias + block * V, s.softplus, count);

  const T* saved = s.checkpoints + (row * s.chunks() + number) * n * s.channels + first;
  int64_t stride = s.channels;
  if (lanes < V) {
    zero(task.checkpoint, n * V);
    for (int64_t j = 0; j < n; ++j) std::memcpy(task.checkpoint + j * V, saved + j * stride, lanes * sizeof(T));
    saved = task.checkpoint;
    stride = V;
  }
  const T* decay = task.params.decay + block * n * V;
  int64_t j = 0;
  for (; j + 4 <= n; j += 4)
    backward_group<T, 4>(tiles, decay, task.rows, sums, j, n, saved, stride, carry, dparams, wanted, count);
  for (; j + 2 <= n; j += 2)
    backward_group<T, 2>(tiles, decay, task.rows, sums, j, n, saved, stride, carry, dparams, wanted, count);
  if (j < n) backward_group<T, 1>(tiles, decay, task.rows, sums, j, n, saved, stride, carry, dparams, wanted, count);

  backward_finish(tiles, task.params.skip + block * V, dparams + n * V, dparams + (n + 1) * V, count);
  T* du = args.du.data + batch * args.du.batch + scan * args.du.scan + first * args.du.channel;
  store_tile(tiles.dinput, du, args.du, chunk, lanes, add, 0, s.length);
  prefetch_tile<T>(du, args.du, next);
  if (s.rank) {
    backward_factor(tiles.dstep, task.rows.factor, task.weight + block * V * args.padded_rank,
                    args.padded_rank, s.rank, sums.factor, dparams + (n + 2) * V, count, lanes);
  } else {
    T* ddelta = args.ddelta.data + batch * args.ddelta.batch + scan * args.ddelta.scan + first * args.ddelta.channel;
    store_tile(tiles.dstep, ddelta, args.ddelta, chunk, lanes, false, 0, s.length);
  }
}

template <typename T>
void backward_scan(const BackwardArgs<T>& args, BackwardTask<T>& task, int64_t number, int64_t batch, int64_t scan,
                   int64_t channel, int64_t slab, T* dparams) {
  constexpr int V = kLanes<T>;
  const ScanArgs<T>& s = args.scan;
  const int64_t n = s.states, padded = args.padded_rank;
  const int64_t last = (slab + 1) * kSlabChunks < s.chunks() ? (slab + 1) * kSlabChunks : s.chunks();
  T* carry = args.carry + number * n * s.width;
  task.params.load(s, scan, channel);
  zero(task.weight, s.width * padded);
  const int64_t left = s.channels - channel, width = left < s.width ? left : s.width;
  for (int64_t c = 0; c < width; ++c)
    for (int64_t r = 0; r < s.rank; ++r)
      task.weight[c * padded + r] = s.dt_weight[(scan * s.channels + channel + c) * s.rank + r];
  if (slab == s.slabs() - 1) {
    zero(carry, n * s.width);
    zero(dparams, args.param_rows() * s.width);
  }
  for (int64_t c = last - 1; c >= slab * kSlabChunks; --c) {
    const Chunk chunk = make_chunk(s, scan, c);
    const bool wanted = any_wanted(s, chunk);
    const Chunk next = make_chunk(s, scan, c > 0 ? c - 1 : c);
    task.rows.load(s, batch, scan, chunk);
    task.rows.prefetch(s, batch, scan, next);
    T* found = args.rows + (number * s.slab_chunks() + c - slab * kSlabChunks) * kChunk * args.row_size();
    const TokenSums<T> sums = {found, found + kChunk * n, found + 2 * kChunk * n};
    zero(found, kChunk * args.row_size());
    for (int b = 0; b < task.params.blocks; ++b) {
      backward_block(args, task, batch, scan, channel, b, chunk, next, c, wanted, s.shared && scan > 0, sums,
                     carry + b * n * V, dparams + b * args.param_rows() * V);
    }
  }
}

// One slab of one scan (of all scans if they do not share their tokens) for a range of tasks; slabs go backwards.
template <typename T>
void backward(const BackwardArgs<T>& args, int64_t scan, int64_t slab, int64_t first_task, int64_t last_task) {
  const ScanArgs<T>& s = args.scan;
  Arena<T> arena(BackwardTask<T>::size(args));
  BackwardTask<T> task(args, arena);
  const int64_t groups = s.groups(), sets = s.sets(), scans_of_task = s.shared ? s.scans : 1;
  for (int64_t number = first_task; number < last_task; ++number) {
    const int64_t channel = number % groups * s.width, set = number / groups % sets, batch = number / groups / sets;
    T* dparams = args.params + (number * scans_of_task + (s.shared ? scan : 0)) * args.param_rows() * s.width;
    backward_scan(args, task, number, batch, s.shared ? scan : set, channel, slab, dparams);
  }
}

}  // namespace MMAVS_ISA
}  // namespace mmavs
