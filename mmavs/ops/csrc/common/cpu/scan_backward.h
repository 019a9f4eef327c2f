// Backward scan of one slab of chunks. The states of a chunk are computed again from its checkpoint; the gradient of the
// state is carried from chunk to chunk, and from slab to slab through memory.
#pragma once

#include <initializer_list>

#include "backward_tiles.h"
#include "chunk_tiles.h"

namespace mmavs {
namespace MMAVS_ISA {

// Gradients per token that all blocks of a task add up, in their part of BackwardArgs::rows: B and C as pieces (count, N)
// in the order in which the states are handled, and the factor (count, R rounded up).
template <typename T>
struct TokenSums {
  T *B, *C, *factor;
};

// Everything a task needs for one of its scans. Two sets of tiles take turns, as in the forward scan.
template <typename T>
struct BackwardTask {
  TaskParams<T> params;
  ChunkRows<T> rows;
  BackwardTiles<T> tiles;
  ChunkTiles<T> u[2], dy[2], du[2];
  T* weight;      // (width, R rounded up): as given, a row per channel
  T* checkpoint;  // (n, 2 V): of a pair of blocks that does not end with a whole vector

  static int64_t size(const BackwardArgs<T>& args) {
    const ScanArgs<T>& s = args.scan;
    return TaskParams<T>::size(s) + ChunkRows<T>::size(s) + BackwardTiles<T>::size() + 6 * ChunkTiles<T>::size(s) +
           s.width * args.padded_rank + 2 * s.states * kLanes<T>;
  }
  BackwardTask(const BackwardArgs<T>& args, Arena<T>& arena)
      : params(args.scan, arena), rows(args.scan, arena), tiles(arena),
        weight(arena.take(args.scan.width * args.padded_rank)),
        checkpoint(arena.take(2 * args.scan.states * kLanes<T>)) {
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

// What a task works on at the moment: M blocks from `block` on, and a chunk of one scan.
struct Place {
  int64_t batch, scan, channel;  // the first channel of the task
  int block;
  Chunk chunk;
  int64_t number;  // of the chunk
  bool wanted;
};

// N states of M blocks from state j on.
template <typename T, int M, int N>
void backward_group(BackwardTask<T>& task, const Place& place, int64_t j, int64_t n, const TokenSums<T>& sums,
                    StateVectors<const T> checkpoint, StateVectors<T> carry, StateVectors<T> ddecay) {
  constexpr int V = kLanes<T>;
  const StateVectors<const T> decay{task.params.decay + place.block * n * V, V, n * V};
  const int count = place.chunk.count;
  const auto run = place.wanted ? backward_states<T, M, N, true> : backward_states<T, M, N, false>;
  run(task.tiles, decay.from(j), task.rows.B + j, task.rows.C + j, n, checkpoint.from(j), carry.from(j),
      ddecay.from(j), count);
  const SumTiles<T, M, N> found(task.tiles, count);
  add_sums(found.B, sums.B + j * kChunk, count * N);
  if (place.wanted) add_sums(found.C, sums.C + j * kChunk, count * N);
}

// States before the chunk. A copy is made where the last block is no whole vector.
template <typename T, int M>
StateVectors<const T> checkpoint_of(const ScanArgs<T>& s, BackwardTask<T>& task, const Place& place, int last_lanes) {
  constexpr int V = kLanes<T>;
  const int64_t row = (place.batch * s.scans + place.scan) * s.chunks() + place.number;
  const T* saved = s.checkpoints + row * s.states * s.channels + place.channel + place.block * V;
  if (last_lanes == V) return {saved, s.channels, V};
  zero(task.checkpoint, s.states * M * V);
  for (int64_t j = 0; j < s.states; ++j)
    std::memcpy(task.checkpoint + j * M * V, saved + j * s.channels, ((M - 1) * V + last_lanes) * sizeof(T));
  return {task.checkpoint, M * V, V};
}

// A chunk of M blocks. carry and dparams are those of the first block.
template <typename T, int M>
void backward_blocks(const BackwardArgs<T>& args, BackwardTask<T>& task, const Place& place, const TokenSums<T>& sums,
                     T* carry, T* dparams) {
  constexpr int V = kLanes<T>;
  const ScanArgs<T>& s = args.scan;
  const int64_t n = s.states, param_rows = args.param_rows();
  const int count = place.chunk.count;
  const auto lanes_of = [&](int m) { return TaskParams<T>::lanes_of(s, place.channel, place.block + m); };
  for (int m = 0; m < M; ++m) {
    BlockTiles<T>& tiles = task.tiles.block[m];
    const int block = place.block + m;
    tiles.u = task.u[place.number % 2].tile(block);
    tiles.dy = task.dy[place.number % 2].tile(block);
    tiles.dinput = task.du[place.number % 2].tile(block);
    load_steps(tiles.step, s, task.rows, task.params, block, place.batch, place.scan, place.channel + block * V,
               place.chunk, lanes_of(m));
    backward_prepare(tiles, task.params.bias + block * V, s.softplus, count);
  }

  const StateVectors<const T> checkpoint = checkpoint_of<T, M>(s, task, place, lanes_of(M - 1));
  const StateVectors<T> carried{carry, V, n * V}, ddecay{dparams, V, param_rows * V};
  int64_t j = 0;
  for (; j + 2 <= n; j += 2) backward_group<T, M, 2>(task, place, j, n, sums, checkpoint, carried, ddecay);
  if (j < n) backward_group<T, M, 1>(task, place, j, n, sums, checkpoint, carried, ddecay);

  for (int m = 0; m < M; ++m) {
    const BlockTiles<T>& tiles = task.tiles.block[m];
    const int block = place.block + m;
    T* rows = dparams + m * param_rows * V;
    backward_finish(tiles, task.params.skip + block * V, rows + n * V, rows + (n + 1) * V, count);
    if (s.rank) {
      backward_factor(tiles.dstep, task.rows.factor, task.weight + block * V * args.padded_rank, args.padded_rank,
                      s.rank, sums.factor, rows + (n + 2) * V, count, lanes_of(m));
    } else {
      T* ddelta = args.ddelta.data + place.batch * args.ddelta.batch + place.scan * args.ddelta.scan +
                  (place.channel + block * V) * args.ddelta.channel;
      store_tile(tiles.dstep, ddelta, args.ddelta, place.chunk, lanes_of(m), false, 0, s.length);
    }
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
    Place place{batch, scan, channel, 0, chunk, c, any_wanted(s, chunk)};
    task.rows.load(s, batch, scan, chunk);
    task.rows.prefetch(s, batch, scan, next);
    for (int& b = place.block; b < blocks; b += 2) {
      const int pair = b + 1 < blocks ? 2 : 1;
      for (int part = b; part < b + pair; ++part) {
        if (c > begin) read(c - 1, next, part);
        if (c + 1 < end) write(c + 1, part);
      }
      T* found = args.sums_of(unit + b * V / kUnit, c - begin);
      if (b * V % kUnit == 0) zero(found, kChunk * args.row_size());
      const auto run = pair == 2 ? backward_blocks<T, 2> : backward_blocks<T, 1>;
      run(args, task, place, {found, found + kChunk * n, found + 2 * kChunk * n}, carry + b * n * V,
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
