// The parts that the forward and the backward kernel share: a chunk of tokens and its block of channels in cache.
#pragma once

#include <cstdlib>

#include "../scan_args.h"
#include "vec.h"

namespace mmavs {
namespace MMAVS_ISA {

// Memory for the buffers of a task, handed out in pieces of whole cache lines. Three lines between the pieces keep tiles,
// whose size is a power of two, from the same places in the first cache.
template <typename T>
class Arena {
 public:
  explicit Arena(int64_t size) : start_(static_cast<char*>(std::malloc(size * sizeof(T) + 64 * 5 * 40))) {
    next_ = start_ + (64 - reinterpret_cast<uintptr_t>(start_) % 64) % 64;
  }
  ~Arena() { std::free(start_); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  T* take(int64_t size) {
    T* piece = reinterpret_cast<T*>(next_);
    next_ += (size * sizeof(T) + 63) / 64 * 64 + 192;
    return piece;
  }

 private:
  char* start_;
  char* next_;
};

template <typename T>
void zero(T* p, int64_t size) {
  std::memset(p, 0, size * sizeof(T));
}

// A chunk of tokens in the order of one scan.
struct Chunk {
  int64_t start;
  int count;
  const int32_t* index;  // of the first token, or null
  int64_t position(int i) const { return index ? index[i] : start + i; }
};

template <typename T>
Chunk make_chunk(const ScanArgs<T>& args, int64_t scan, int64_t number) {
  const int64_t start = number * kChunk, left = args.length - start;
  return {start, int(left < kChunk ? left : kChunk), args.index ? args.index + scan * args.length + start : nullptr};
}

template <typename T>
bool any_wanted(const ScanArgs<T>& args, const Chunk& chunk) {
  if (args.y_len == args.length) return true;
  for (int i = 0; i < chunk.count; ++i)
    if (chunk.position(i) >= args.y_start && chunk.position(i) < args.y_start + args.y_len) return true;
  return false;
}

template <typename T>
const T* rows_of(const Tokens<const T>& x, int64_t batch, int64_t scan) {
  return x.data + batch * x.batch + scan * x.scan;
}

// Rows of `size` values, one after the other with `stride` between them.
template <typename T>
void gather_rows(T* target, int64_t stride, const T* source, const Tokens<const T>& x, const Chunk& chunk, int size) {
  if (x.channel == 1) {
    for (int i = 0; i < chunk.count; ++i) {
      const T* row = source + chunk.position(i) * x.token;
      int j = 0;
      for (; j + kLanes<T> <= size; j += kLanes<T>) store(target + i * stride + j, load(row + j));
      for (; j < size; ++j) target[i * stride + j] = row[j];
    }
    return;
  }
  for (int i = 0; i < chunk.count; ++i) {
    const T* row = source + chunk.position(i) * x.token;
    for (int j = 0; j < size; ++j) target[i * stride + j] = row[j * x.channel];
  }
}

// Ask for the rows of a later chunk: tables jump through memory, and rows whose distance is a power of two fall out of the
// first cache at once, so this aims at the second.
template <typename P>
void prefetch_rows(P* source, int64_t token_stride, const Chunk& chunk, int64_t bytes) {
  for (int i = 0; i < chunk.count; ++i) {
    const char* row = reinterpret_cast<const char*>(source + chunk.position(i) * token_stride);
    for (int64_t offset = 0; offset < bytes; offset += 64) __builtin_prefetch(row + offset, 0, 2);
  }
}

// Tile of one vector of channels per token; lanes beyond the last channel are zero.
template <typename T>
void load_tile(T* tile, const T* source, const Tokens<const T>& x, const Chunk& chunk, int lanes) {
  constexpr int V = kLanes<T>;
  if (x.channel == 1 && lanes == V) {
    for (int i = 0; i < chunk.count; ++i) store(tile + i * V, load(source + chunk.position(i) * x.token));
    return;
  }
  if (lanes < V) zero(tile, chunk.count * V);
  if (x.channel == 1) {
    for (int i = 0; i < chunk.count; ++i)
      for (int c = 0; c < lanes; ++c) tile[i * V + c] = source[chunk.position(i) * x.token + c];
  } else {
    for (int c = 0; c < lanes; ++c)
      for (int i = 0; i < chunk.count; ++i) tile[i * V + c] = source[c * x.channel + chunk.position(i) * x.token];
  }
}

// Write or add a tile to the rows at natural positions first...last-1; the target starts at position `first`.
template <typename T>
void store_tile(const T* tile, T* target, const Tokens<T>& x, const Chunk& chunk, int lanes, bool add, int64_t first,
                int64_t last) {
  constexpr int V = kLanes<T>;
  if (x.channel != 1) {
    for (int c = 0; c < lanes; ++c)
      for (int i = 0; i < chunk.count; ++i) {
        T& value = target[c * x.channel + (chunk.position(i) - first) * x.token];
        value = add ? value + tile[i * V + c] : tile[i * V + c];
      }
    return;
  }
  for (int i = 0; i < chunk.count; ++i) {
    const int64_t position = chunk.position(i);
    if (position < first || position >= last) continue;
    T* row = target + (position - first) * x.token;
    const T* values = tile + i * V;
    if (lanes < V) {
      for (int c = 0; c < lanes; ++c) row[c] = add ? row[c] + values[c] : values[c];
    } else if (add) {
      store(row, load(row) + load(values));
    } else {
      store(row, load(values));
    }
  }
}

// Vectors of channels from rows of parameters (C, size): packed[j][lane] = source[lane][j] * scale.
template <typename T>
void pack_columns(T* packed, const T* source, int64_t size, int lanes, T scale) {
  constexpr int V = kLanes<T>;
  zero(packed, size * V);
  for (int c = 0; c < lanes; ++c)
    for (int64_t j = 0; j < size; ++j) packed[j * V + c] = source[c * size + j] * scale;
}

// Step sizes from their low-rank factor: tile[i] = sum_r factor[i][r] weight[r].
template <typename T>
void expand_factor(T* tile, const T* factor, const T* weight, int64_t rank, int count) {
  constexpr int V = kLanes<T>;
  int i = 0;
  for (; i + 4 <= count; i += 4) {
    Vec<T> sum[4] = {};
    for (int64_t r = 0; r < rank; ++r) {
      const Vec<T> w = load(weight + r * V);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) sum[j] += w * factor[(i + j) * rank + r];
    }
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) store(tile + (i + j) * V, sum[j]);
  }
  for (; i < count; ++i) {
    Vec<T> sum{};
    for (int64_t r = 0; r < rank; ++r) sum += load(weight + r * V) * factor[i * rank + r];
    store(tile + i * V, sum);
  }
}

// Parameters of one scan for the channels of a task, a vector of channels (a block) after the other.
template <typename T>
struct TaskParams {
  int blocks;
  T *decay, *skip, *bias, *weight;  // (blocks, n, V) with log2(e) folded in, (blocks, V), (blocks, V), (blocks, R, V)

  static int64_t size(const ScanArgs<T>& args) { return args.width * (args.states + 2 + args.rank); }
  TaskParams(const ScanArgs<T>& args, Arena<T>& arena)
      : decay(arena.take(args.width * args.states)), skip(arena.take(args.width)), bias(arena.take(args.width)),
        weight(arena.take(args.width * args.rank)) {}

  void load(const ScanArgs<T>& args, int64_t scan, int64_t channel) {
    constexpr int V = kLanes<T>;
    blocks = (channels_of(args, channel) + V - 1) / V;
    for (int b = 0; b < blocks; ++b) {
      const int lanes = lanes_of(args, channel, b);
      const int64_t row = scan * args.channels + channel + b * V;
      pack_columns(decay + b * V * args.states, args.A + row * args.states, args.states, lanes,
                   T(1.44269504088896340736));
      zero(skip + b * V, V);
      zero(bias + b * V, V);
      for (int c = 0; c < lanes; ++c) {
        if (args.D) skip[b * V + c] = args.D[row + c];
        if (args.bias) bias[b * V + c] = args.bias[row + c];
      }
      if (args.rank) pack_columns(weight + b * V * args.rank, args.dt_weight + row * args.rank, args.rank, lanes, T(1));
    }
  }
  static int channels_of(const ScanArgs<T>& args, int64_t channel) {
    return int(args.channels - channel < args.width ? args.channels - channel : args.width);
  }
  static int lanes_of(const ScanArgs<T>& args, int64_t channel, int block) {
    const int64_t left = args.channels - channel - block * kLanes<T>;
    return left < kLanes<T> ? int(left) : kLanes<T>;
  }
};

// Rows of B, C and the factor of one chunk, shared by the blocks of a task.
template <typename T>
struct ChunkRows {
  T *B, *C, *factor;

  static int64_t size(const ScanArgs<T>& args) { return kChunk * (2 * args.states + args.rank); }
  ChunkRows(const ScanArgs<T>& args, Arena<T>& arena)
      : B(arena.take(kChunk * args.states)), C(arena.take(kChunk * args.states)),
        factor(arena.take(kChunk * args.rank)) {}

  void load(const ScanArgs<T>& args, int64_t batch, int64_t scan, const Chunk& chunk) {
    const int n = int(args.states);
    gather_rows(B, n, rows_of(args.Bm, batch, scan), args.Bm, chunk, n);
    gather_rows(C, n, rows_of(args.Cm, batch, scan), args.Cm, chunk, n);
    if (args.rank) {
      gather_rows(factor, args.rank, rows_of(args.delta, batch, scan), args.delta, chunk, int(args.rank));
    }
  }
  static void prefetch(const ScanArgs<T>& args, int64_t batch, int64_t scan, const Chunk& chunk) {
    const int64_t bytes = args.states * sizeof(T);
    if (args.Bm.channel == 1) prefetch_rows(rows_of(args.Bm, batch, scan), args.Bm.token, chunk, bytes);
    if (args.Cm.channel == 1) prefetch_rows(rows_of(args.Cm, batch, scan), args.Cm.token, chunk, bytes);
    if (args.rank) prefetch_rows(rows_of(args.delta, batch, scan), args.delta.token, chunk, args.rank * sizeof(T));
  }
};

// Step sizes before bias and softplus of one block.
template <typename T>
void load_steps(T* tile, const ScanArgs<T>& args, const ChunkRows<T>& rows, const TaskParams<T>& params, int block,
                int64_t batch, int64_t scan, int64_t channel, const Chunk& chunk, int lanes) {
  if (args.rank) {
    expand_factor(tile, rows.factor, params.weight + block * kLanes<T> * args.rank, args.rank, chunk.count);
  } else {
    const T* source = rows_of(args.delta, batch, scan) + channel * args.delta.channel;
    load_tile(tile, source, args.delta, chunk, lanes);
  }
}

}  // namespace MMAVS_ISA
}  // namespace mmavs
