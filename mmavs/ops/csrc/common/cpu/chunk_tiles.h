// Tiles of a whole chunk, read ahead of the computation and written behind it.
#pragma once

#include "scan_tile.h"

namespace mmavs {
namespace MMAVS_ISA {

template <typename T>
void prefetch_row(const T* row, int channels) {
  for (int c = 0; c < channels; c += 64 / int(sizeof(T))) __builtin_prefetch(row + c, 0, 2);
}

// Tiles of all blocks of a task. They are filled and written in as many parts as there are blocks, one beside the work on
// each block, so that a few rows at a time come and go while the kernel computes: a scan of many tokens then costs little
// more per token than one that stays in cache, also where a table jumps by a power of two and its rows would push each other
// out of the cache. A part is some tokens of all blocks; where the tokens of a channel lie side by side, it is one block.
template <typename T>
struct ChunkTiles {
  static constexpr int64_t kStride = (kChunk + 1) * kLanes<T>;  // one more: tiles off the same places in the first cache
  T* data;

  static int64_t size(const ScanArgs<T>& args) { return args.width / kLanes<T> * kStride; }
  T* tile(int block) const { return data + block * kStride; }
};

struct Part {
  int first, last;  // tokens of the chunk
};
inline Part part_of(const Chunk& chunk, int number, int parts) {
  return {chunk.count * number / parts, chunk.count * (number + 1) / parts};
}

// Reads a part of the tokens at natural positions first...last-1 from `source`, which starts at position `first` and at the
// task's first channel; other tokens and lanes beyond the last channel become zero.
template <typename T>
void load_part(const ChunkTiles<T>& tiles, const T* source, const Tokens<const T>& x, const Chunk& chunk, int channels,
               int64_t first, int64_t last, int number, int parts) {
  constexpr int V = kLanes<T>;
  if (x.channel != 1) {
    load_tile(tiles.tile(number), source + number * V * x.channel, x, chunk,
              channels - number * V < V ? channels - number * V : V);
    return;
  }
  const Part next = part_of(chunk, number + 1, parts), part = part_of(chunk, number, parts);
  for (int i = next.first; i < next.last && number + 1 < parts; ++i) {
    const int64_t position = chunk.position(i);
    if (position >= first && position < last) prefetch_row(source + (position - first) * x.token, channels);
  }
  for (int i = part.first; i < part.last; ++i) {
    const int64_t position = chunk.position(i);
    T* target = tiles.data + i * V;
    if (position < first || position >= last) {
      for (int c = 0; c < channels; c += V, target += tiles.kStride) store(target, Vec<T>{});
      continue;
    }
    const T* row = source + (position - first) * x.token;
    int c = 0;
    for (; c + V <= channels; c += V, target += tiles.kStride) store(target, load(row + c));
    if (c < channels) {
      store(target, Vec<T>{});
      for (int lane = 0; c + lane < channels; ++lane) target[lane] = row[c + lane];
    }
  }
}

// Writes or adds part of the tiles to the rows at natural positions first...last-1; the target starts at position `first`
// and at the task's first channel.
template <typename T>
void store_part(const ChunkTiles<T>& tiles, T* target, const Tokens<T>& x, const Chunk& chunk, int channels, bool add,
                int64_t first, int64_t last, int number, int parts) {
  constexpr int V = kLanes<T>;
  if (x.channel != 1) {
    store_tile(tiles.tile(number), target + number * V * x.channel, x, chunk,
               channels - number * V < V ? channels - number * V : V, add, first, last);
    return;
  }
  const Part next = part_of(chunk, number + 1, parts), part = part_of(chunk, number, parts);
  for (int i = next.first; i < next.last && number + 1 < parts; ++i) {
    const int64_t position = chunk.position(i);
    if (position >= first && position < last) prefetch_row(target + (position - first) * x.token, channels);
  }
  for (int i = part.first; i < part.last; ++i) {
    const int64_t position = chunk.position(i);
    if (position < first || position >= last) continue;
    T* row = target + (position - first) * x.token;
    const T* source = tiles.data + i * V;
    int c = 0;
    for (; c + V <= channels; c += V, source += tiles.kStride) {
      store(row + c, add ? load(row + c) + load(source) : load(source));
    }
    for (int lane = 0; c + lane < channels; ++lane) row[c + lane] = (add ? row[c + lane] : T(0)) + source[lane];
  }
}

}  // namespace MMAVS_ISA
}  // namespace mmavs
