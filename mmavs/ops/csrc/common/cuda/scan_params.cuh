// Arguments of the scan kernels and the shape of a thread block.
//
// Letters: B clips, K orders, L tokens, C channels, N states, R rank of the low-rank delta. Tokens lie channels last in
// natural order; order k visits natural position index[k][i] as its i-th token.
//
// Design. B*K*C is a few thousand, L up to 1e5, so an order is cut into `segments` scanned by different blocks:
//   1. scan_forward without outputs: state at the end of each segment from a zero start, and the sum of its delta;
//   2. carry: entering state of each segment, h <- local + exp(A * sum delta) * h;
//   3. scan_forward with outputs: the scan proper, which also saves the state at the start of each tile.
// When B*K*C alone fills the chip there is one segment and only step 3 runs. A thread owns one channel and up to 4
// states in registers and walks along time, so nothing but the sum over states (2 shuffles at N = 16) crosses lanes.
// Tiles of delta, u, B and C sit in shared memory: a row of u is read as one coalesced line through the index,
// B and C are shared by all channels of the block. The sum over orders goes through per-order slices added in a fixed
// order, so every result is the same in every run; there are no atomics.
//
// Arithmetic per token, channel and state (issue slots of a scheduler; ex2 occupies the special-function unit for 8):
//   scan_forward   mul, ex2, mul, fma, fma, 0.5 shared loads, 1 shuffle + add      = 7    -> bound by ex2 (8)
//   step 1         mul, ex2, mul, fma, 0.25 shared loads                           = 4.3  -> bound by ex2 (8)
//   scan_backward  forward again 1.5x, reverse 10, dB and dC 3.5, shuffles 2       = 21   -> ex2 20, both pipes full
// One ex2 per token-channel-state is 3.8 ps at N = 16 on 132 multiprocessors at 1.98 GHz (floor 4.3 with the rest).
// Expected at N = 16: forward 6-7 ps/token-channel with one segment, 10 with several (floor 4.3); backward 14 and 19
// (floor 6.3). At N = 1 memory bounds it: forward 12 bytes (u, slice out, slice in), 16 with several segments, 2.8-4
// ps (floor 2.8); backward about 30 bytes, 7-8 ps (floor 4.7). These are estimates that no GPU has confirmed yet;
// tools/analysis_tools/check_gpu.py measures them. Blocks of a multiprocessor with 228 KB, by registers and shared
// memory: forward 4; backward 3 at N = 1, 8 and 16, 2 at N = 2 and 4.
#pragma once

#include "platform.cuh"

namespace mmavs {
namespace cuda {

// A block has 128 threads: kChannels channels times kLanes lanes, each lane with kStates states in registers.
template <int kPadded>
struct Shape {
  static constexpr int kN = kPadded;                    // states of one block, padded to a power of two
  static constexpr int kThreads = 128;
  static constexpr int kStates = kN < 4 ? kN : 4;       // states of a thread
  static constexpr int kLanes = kN / kStates;           // threads of a channel
  static constexpr int kChannels = kThreads / kLanes;   // 128 channels for N <= 4, 32 for N = 16
  static constexpr int kGroup = kStates < 4 ? 4 : 2;    // tokens held in registers: more would spill
  static constexpr int kSub = 16;                       // tokens whose states the backward keeps in shared memory
  static constexpr int kTile = kLanes < 4 ? kSub : 2 * kSub;   // tokens of a tile = tokens between two saved states
  static constexpr int kRow = kChannels + 8 / kLanes;   // padded row of a (token, channel) tile
  static constexpr int kPerThread = kTile * kChannels / kThreads;   // elements of a tile that a thread loads
};

constexpr int kMaxBlockStates = 16;
constexpr int kMaxRank = 128;

template <typename acc_t>
struct ScanParams {
  int batch, orders, length, channels, states, rank;   // B K L C N R (R = 0: delta is given in full)
  int y_start, y_length;
  bool delta_softplus;
  // Derived by make_plan.
  int padded;                        // states of one block
  int state_blocks, channel_blocks;
  int tile, tiles;                   // tokens of a tile, tiles of an order
  int segments, segment_length;      // segment_length is a multiple of tile
  // Inputs; strides count elements, the last dimension is contiguous.
  const void* u;                     // (B, L, C)
  const void* delta;                 // (B, K, L, C) or (B, K, L, R)
  const void* Bm;                    // (B, K, L, N)
  const void* Cm;
  int64_t u_batch, u_order, u_token;           // u_order, dout_order: 0 where all orders share the channels
  int64_t delta_batch, delta_order, delta_token;
  int64_t b_batch, b_order, b_token;
  int64_t c_batch, c_order, c_token;
  const acc_t* A;                    // (K*C, N)
  const acc_t* D;                    // (K*C) or null
  const acc_t* delta_bias;           // (K*C) or null
  const acc_t* weight;               // (K, R, C): dt_weight with its last two dimensions swapped, null for R = 0
  const int* index;                  // (K, L), or null: every order visits the tokens as they lie
  // Between segments: (B*K, segments, state_blocks, C, padded) and (B*K, segments, C).
  acc_t* carry_local;
  acc_t* carry_in;
  acc_t* delta_sum;
  // Forward: slices (K*state_blocks, B, y_length, C).
  acc_t* y_slices;
  acc_t* saved;                      // (B*K, tiles, N, C): state before each tile, or null
  acc_t* last;                       // (B*K, C, N): state after the last token, or null
  // Backward. Slices of a gradient are summed by sum_slices in the order of their first dimension.
  const acc_t* dout;                 // (B, y_length, C), last dimension contiguous
  int64_t dout_batch, dout_order, dout_token;
  acc_t* du_slices;                  // (K*state_blocks, B, L, C)
  acc_t* ddelta_slices;              // (state_blocks, B, K, L, C), or (channel_blocks*state_blocks, B, K, L, R)
  acc_t* dB_slices;                  // (channel_blocks, B, K, L, N)
  acc_t* dC_slices;
  acc_t* dA_slices;                  // (segments*B, K*C, N)
  acc_t* dD_slices;                  // (segments*B, K*C)
  acc_t* dbias_slices;               // (segments*B*state_blocks, K*C)
  acc_t* dweight_slices;             // (segments*B*state_blocks, K*C, R)
};

// What a block and a thread work on. Blocks of one segment lie side by side: they share B, C, delta's factor and index.
template <int kPadded>
struct BlockView {
  using S = Shape<kPadded>;
  int batch, order, bk, segment, channel_block, state_block;
  int first_channel, begin, end;     // first channel of the block, tokens [begin, end) of the segment
  int channel, lane;                 // of this thread during a scan; channel counts from first_channel
  int column, row;                   // of this thread while it loads or stores tiles

  template <typename acc_t>
  __device__ explicit BlockView(const ScanParams<acc_t>& p) {
    int rest = static_cast<int>(blockIdx.x);
    state_block = rest % p.state_blocks;
    rest /= p.state_blocks;
    channel_block = rest % p.channel_blocks;
    rest /= p.channel_blocks;
    segment = rest % p.segments;
    bk = rest / p.segments;
    batch = bk / p.orders;
    order = bk % p.orders;
    first_channel = channel_block * S::kChannels;
    begin = segment * p.segment_length;
    end = begin + p.segment_length < p.length ? begin + p.segment_length : p.length;
    const int thread = static_cast<int>(threadIdx.x);
    channel = thread / S::kLanes;
    lane = thread % S::kLanes;
    column = thread % S::kChannels;
    row = thread / S::kChannels;
  }

  // Offset of this thread's states in carry_local and carry_in.
  template <typename acc_t>
  __device__ int64_t carry_offset(const ScanParams<acc_t>& p) const {
    const int64_t slot = (static_cast<int64_t>(bk) * p.segments + segment) * p.state_blocks + state_block;
    return (slot * p.channels + first_channel + channel) * S::kN + lane * S::kStates;
  }

  // Offset of this thread's first state in saved, for the tile that starts at token `first`.
  template <typename acc_t>
  __device__ int64_t saved_offset(const ScanParams<acc_t>& p, int first) const {
    const int64_t slot = static_cast<int64_t>(bk) * p.tiles + first / S::kTile;
    return (slot * p.states + first_state()) * p.channels + first_channel + channel;
  }

  __device__ int first_state() const { return state_block * S::kN + lane * S::kStates; }

  template <typename acc_t>
  __device__ bool in_range(const ScanParams<acc_t>& p) const {
    return first_channel + channel < p.channels;
  }

  // A * log2(e) of this thread's states; padding states get 0, which keeps their h at 0.
  template <typename acc_t>
  __device__ void load_decay(const ScanParams<acc_t>& p, acc_t (&decay)[S::kStates]) const {
#pragma unroll
    for (int s = 0; s < S::kStates; ++s) {
      const int n = first_state() + s;
      const bool valid = in_range(p) && n < p.states;
      const int64_t row_of_A = static_cast<int64_t>(order) * p.channels + first_channel + channel;
      decay[s] = valid ? p.A[row_of_A * p.states + n] * acc_t(kLog2e) : acc_t(0);
    }
  }
};

}  // namespace cuda
}  // namespace mmavs
