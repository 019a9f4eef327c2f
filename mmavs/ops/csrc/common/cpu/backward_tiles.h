// Backward scan of a pair of blocks of channels over a chunk that is in cache.
#pragma once

#include "scan_sums.h"
#include "scan_tile.h"

namespace mmavs {
namespace MMAVS_ISA {

// A chunk of one block of channels. u, dy and dinput, which becomes the gradient of u, belong to ChunkTiles.
template <typename T>
struct BlockTiles {
  T *u, *dy, *dinput;
  T *step, *input, *slope, *dstep;
};

// Tiles of up to two blocks. Blocks are handled in pairs because all channels share B and C: the pair's gradients of them
// are added up before they are stored and before their lanes are summed.
template <typename T>
struct BackwardTiles {
  BlockTiles<T> block[2];
  T *decays, *states;  // (count, blocks, N, V) and (count + 1, blocks, N, V); blocks times states N is at most 4

  static constexpr int64_t kTile = kChunk * kLanes<T>;
  static int64_t size() { return 2 * 4 * kTile + 4 * kTile + 4 * (kTile + kLanes<T>); }
  explicit BackwardTiles(Arena<T>& arena)
      : decays(arena.take(4 * kTile)), states(arena.take(4 * (kTile + kLanes<T>))) {
    for (BlockTiles<T>& tiles : block)
      tiles = {nullptr, nullptr, nullptr, arena.take(kTile), arena.take(kTile), arena.take(kTile), arena.take(kTile)};
  }
};

// A vector per state and block: that of the first of them, and how far the next state and the next block are.
template <typename T>
struct StateVectors {
  T* data;
  int64_t state, block;
  StateVectors from(int64_t j) const { return {data + j * state, state, block}; }
  T* at(int m, int j) const { return data + m * block + j * state; }
};

// N states of M blocks. The gradients of B and C, (count, N, V), take the places of decays and states that are not needed
// any more: at the end of the tiles with two blocks (those of the last tokens), in all of it with one.
template <typename T, int M, int N>
struct SumTiles {
  T *B, *C;
  SumTiles(const BackwardTiles<T>& tiles, int count)
      : B(tiles.decays + (M - 1) * count * N * kLanes<T>),
        C(tiles.states + ((M - 1) * count + M) * N * kLanes<T>) {}
};

// The states of the chunk are computed from its checkpoint once more; then their gradient is taken back through the tokens.
template <typename T, int M, int N, bool WithY>
void backward_states(const BackwardTiles<T>& tiles, StateVectors<const T> decay, const T* B, const T* C, int64_t n,
                     StateVectors<const T> checkpoint, StateVectors<T> carry, StateVectors<T> ddecay, int count) {
  constexpr int V = kLanes<T>, kToken = M * N * V;
  T *const decays = tiles.decays, *const states = tiles.states;
  Vec<T> a[M][N], h[M][N], g[M][N], da[M][N];
#pragma GCC unroll 2
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
      a[m][j] = load(decay.at(m, j));
      h[m][j] = load(checkpoint.at(m, j));
      g[m][j] = load(carry.at(m, j));
      da[m][j] = load(ddecay.at(m, j));
      store(states + (m * N + j) * V, h[m][j]);
    }
  for (int i = 0; i < count; ++i)
#pragma GCC unroll 2
    for (int m = 0; m < M; ++m) {
      const Vec<T> delta = load(tiles.block[m].step + i * V), in = load(tiles.block[m].input + i * V);
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j) {
        const Vec<T> e = exp2(delta * a[m][j]);
        h[m][j] = e * h[m][j] + in * B[i * n + j];
        store(decays + i * kToken + (m * N + j) * V, e);
        store(states + (i + 1) * kToken + (m * N + j) * V, h[m][j]);
      }
    }
  const SumTiles<T, M, N> sums(tiles, count);
  for (int i = count - 1; i >= 0; --i) {
    Vec<T> dB[N] = {}, dC[N] = {};
#pragma GCC unroll 2
    for (int m = 0; m < M; ++m) {
      const BlockTiles<T>& block = tiles.block[m];
      const Vec<T> delta = load(block.step + i * V), in = load(block.input + i * V);
      Vec<T> dy{}, dstep = load(block.dstep + i * V), dinput = load(block.dinput + i * V);
      if (WithY) dy = load(block.dy + i * V);
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j) {
        const T *e = decays + i * kToken + (m * N + j) * V, *before = states + i * kToken + (m * N + j) * V;
        if (WithY) {
          g[m][j] += dy * C[i * n + j];
          dC[j] += dy * load(before + kToken);
        }
        dinput += g[m][j] * B[i * n + j];
        dB[j] += g[m][j] * in;
        g[m][j] *= load(e);
        const Vec<T> q = g[m][j] * load(before);
        da[m][j] += q * delta;
        dstep += q * a[m][j];
      }
      store(block.dstep + i * V, dstep);
      store(block.dinput + i * V, dinput);
    }
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
      store(sums.B + (i * N + j) * V, dB[j]);
      if (WithY) store(sums.C + (i * N + j) * V, dC[j]);
    }
  }
#pragma GCC unroll 2
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
      store(carry.at(m, j), g[m][j]);
      store(ddecay.at(m, j), da[m][j]);
    }
}

// Before the states: from u and raw step sizes to step sizes, their slopes and inputs.
template <typename T>
void backward_prepare(const BlockTiles<T>& tiles, const T* bias, bool with_softplus, int count) {
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
void backward_finish(const BlockTiles<T>& tiles, const T* skip, T* dskip, T* dbias, int count) {
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

}  // namespace MMAVS_ISA
}  // namespace mmavs
