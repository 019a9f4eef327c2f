// Backward scan of one slab of chunks. The states of a chunk are computed again from its checkpoint; the gradient of the
// state is carried from chunk to chunk, and from slab to slab through memory.
#pragma once

#include <initializer_list>

#include "chunk_tiles.h"
#include "scan_sums.h"

namespace mmavs {
namespace MMAVS_ISA {

// Tiles of one block of channels over a chunk. u, dy and dinput, which becomes the gradient of u, belong to ChunkTiles.
template <typename T>
struct BackwardTiles {
  T *u, *dy, *dinput;
  T *step, *input, *slope, *dstep;
  T *decays, *states;  // of up to four states: (count, N, V) and (count + 1, N, V)

  static constexpr int64_t kTile = kChunk * kLanes<T>;
  static int64_t size() { return 4 * kTile + 4 * kTile + 4 * (kTile + kLanes<T>); }
  explicit BackwardTiles(Arena<T>& arena)
      : u(nullptr), dy(nullptr), dinput(nullptr), step(arena.take(kTile)), input(arena.take(kTile)),
        slope(arena.take(kTile)), dstep(arena.take(kTile)), decays(arena.take(4 * kTile)),
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

// Everything a task needs for one of its scans. Two sets of tiles take turns, as in the forward scan.
template <typename T>
struct BackwardTask {
  TaskParams<T> params;
  ChunkRows<T> rows;
  BackwardTiles<T> tiles;
  ChunkTiles<T> u[2], dy[2], du[2];
  T* weight;      // (width, R rounded up): as given, a row per channel
  T* checkpoint;  // (n, V): of a block that is no whole vector

  static int64_t size(const BackwardArgs<T>& args) {
    const ScanArgs<T>& s = args.scan;
    return TaskParams<T>::size(s) + ChunkRows<T>::size(s) + BackwardTiles<T>::size() + 6 * ChunkTiles<T>::size(s) +
           s.width * args.padded_rank + s.states * kLanes<T>;
  }
  BackwardTask(const BackwardArgs<T>& args, Arena<T>& arena)
      : params(args.scan, arena), rows(args.scan, arena), tiles(arena),
        weight(arena.take(args.scan.width * args.padded_rank)),
        checkpoint(arena.take(args.scan.states * kLanes<T>)) {
    for (ChunkTiles<T>* chunk : {&u[0], &u[1], &dy[0], &dy[1], &du[0], &du[1]}) {
      chunk->data = arena.take(ChunkTiles<T>::size(args.scan));
    }
  }

  void load(const BackwardArgs<T>& args, int64_t scan, int64_t channel) {
    const ScanArgs<T>& s = args.scan;
    params.load(s, scan, channel);
    zero(weight, s.width * args.padded_rank);
    for (int64_t c = 0; c < TaskParams<T>::channels_of(s, channel); ++c)
      for (int64_t r = 0; r < s.rank; ++r)
        weight[c * args.padded_rank + r] = s.dt_weight[(scan * s.channels + channel + c) * s.rank + r];
  }
};

template <typename T>
void backward_block(const BackwardArgs<T>& args, BackwardTask<T>& task, int64_t batch, int64_t scan, int64_t channel,
                    int block, const Chunk& chunk, int64_t number, bool wanted, const TokenSums<T>& sums, T* carry,
                    T* dparams) {
  constexpr int V = kLanes<T>;
  const ScanArgs<T>& s = args.scan;
  const int64_t n = s.states, first = channel + block * V, row = batch * s.scans + scan;
  const int lanes = TaskParams<T>::lanes_of(s, channel, block), count = chunk.count;
  BackwardTiles<T>& tiles = task.tiles;
  tiles.u = task.u[number % 2].tile(block);
  tiles.dy = task.dy[number % 2].tile(block);
  tiles.dinput = task.du[number % 2].tile(block);
  load_steps(tiles.step, s, task.rows, task.params, block, batch, scan, first, chunk, lanes);
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
  const int64_t n = s.states, begin = slab * kSlabChunks, y_end = s.y_start + s.y_len;
  const int64_t end = begin + kSlabChunks < s.chunks() ? begin + kSlabChunks : s.chunks();
  const int64_t unit = (number / s.groups()) * args.units() + channel / kUnit;
  T* carry = args.carry + number * n * s.width;
  task.load(args, scan, channel);
  if (slab == s.slabs() - 1) {
    zero(carry, n * s.width);
    zero(dparams, args.param_rows() * s.width);
  }
  const int blocks = task.params.blocks, channels = TaskParams<T>::channels_of(s, channel);
  const T* u = rows_of(s.u, batch, scan) + channel * s.u.channel;
  const T* dout = rows_of(args.dout, batch, scan) + channel * args.dout.channel;
  T* du = args.du.data + batch * args.du.batch + scan * args.du.scan + channel * args.du.channel;
  const auto read = [&](int64_t c, const Chunk& chunk, int part) {
    load_part(task.u[c % 2], u, s.u, chunk, channels, 0, s.length, part, blocks);
    load_part(task.dy[c % 2], dout, args.dout, chunk, channels, s.y_start, y_end, part, blocks);
  };
  const auto write = [&](int64_t c, int part) {
    store_part(task.du[c % 2], du, args.du, make_chunk(s, scan, c), channels, s.shared && scan > 0, 0, s.length, part,
               blocks);
  };
  for (int part = 0; part < blocks; ++part) read(end - 1, make_chunk(s, scan, end - 1), part);
  for (int64_t c = end - 1; c >= begin; --c) {
    const Chunk chunk = make_chunk(s, scan, c), next = make_chunk(s, scan, c > 0 ? c - 1 : c);
    const bool wanted = any_wanted(s, chunk);
    task.rows.load(s, batch, scan, chunk);
    task.rows.prefetch(s, batch, scan, next);
    for (int b = 0; b < blocks; ++b) {
      if (c > begin) read(c - 1, next, b);
      if (c + 1 < end) write(c + 1, b);
      T* found = args.sums_of(unit + b * V / kUnit, c - begin);
      if (b * V % kUnit == 0) zero(found, kChunk * args.row_size());
      backward_block(args, task, batch, scan, channel, b, chunk, c, wanted,
                     {found, found + kChunk * n, found + 2 * kChunk * n}, carry + b * n * V,
                     dparams + b * args.param_rows() * V);
    }
  }
  for (int part = 0; part < blocks; ++part) write(begin, part);
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
