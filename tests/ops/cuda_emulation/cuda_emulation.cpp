// The launcher of cuda_emulation.h.
#include "cuda_emulation.h"

#include <algorithm>
#include <atomic>
#include <numeric>
#include <random>

namespace emulation {
namespace {

constexpr int kWarp = 32;
constexpr size_t kStack = 256 * 1024;

// A meeting point of `size` threads.
struct Meeting {
  int size = 0;
  int arrived = 0;
  unsigned round = 0;
  int line = 0;
#if defined(EMULATION_THREADS)
  pthread_barrier_t barrier;
#endif
};

struct Block {
  std::vector<unsigned char> shared;
  Meeting all;
  std::vector<Meeting> warps;
  std::vector<uint64_t> slots[2];   // shuffle operands of every thread; nobody is two shuffles ahead of another
};

Block* block = nullptr;
const std::function<void()>* body = nullptr;
int schedule = 0;
int resident = 4;
const char* skipped_file = "";
int skipped_line = 0;

#if defined(EMULATION_THREADS)
thread_local Coordinates coordinates;
thread_local unsigned warp_rounds = 0;

void meet(Meeting& meeting, int = 0) { pthread_barrier_wait(&meeting.barrier); }

void start(Meeting& meeting, int size) {
  meeting = Meeting();
  meeting.size = size;
  pthread_barrier_init(&meeting.barrier, nullptr, size);
}
#else
Coordinates coordinates;

struct Fiber {
  ucontext_t context;
  std::unique_ptr<unsigned char[]> stack;
  jmp_buf resume;
  bool started = false, finished = false;
  Index thread;
};

std::vector<Fiber> fibers;
Fiber* running = nullptr;
uint64_t moves = 0;   // arrivals at meetings and ends of threads
jmp_buf scheduler;
ucontext_t origin;

void yield() {
  if (_setjmp(running->resume) == 0) _longjmp(scheduler, 1);
}

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

// line: of the barrier in its source.
void meet(Meeting& meeting, int line = 0) {
  const unsigned round = meeting.round;
  if (meeting.arrived == 0) meeting.line = line;
  if (meeting.line != line) fail("threads of a block wait at different barriers");
  ++moves;
  if (++meeting.arrived == meeting.size) {
    meeting.arrived = 0;
    ++meeting.round;
  } else {
    while (meeting.round == round) yield();
  }
}

void start(Meeting& meeting, int size) {
  meeting = Meeting();
  meeting.size = size;
}

void fiber_main() {
  (*body)();
  running->finished = true;
  ++moves;
  _longjmp(scheduler, 1);
}

// Runs a fiber until it waits or ends.
void resume(Fiber& fiber) {
  running = &fiber;
  coordinates.thread = fiber.thread;
  if (_setjmp(scheduler) != 0) return;
  if (fiber.started) _longjmp(fiber.resume, 1);
  fiber.started = true;
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = kStack;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, fiber_main, 0);
  swapcontext(&origin, &fiber.context);
}

// Resumes every thread until all have ended. Schedule 0: ascending, 1: descending, both with all warps abreast. From 2
// on, a seed: warps in random order, each run until it can get no further without another one, and its threads in
// random order too, so that a warp is as far ahead of the others as the barriers let it.
void run_fibers(int threads) {
  const bool random = schedule > 1;
  std::mt19937 generator(schedule);
  const int warps = (threads + kWarp - 1) / kWarp;
  std::vector<int> warp_order(warps);
  std::iota(warp_order.begin(), warp_order.end(), 0);
  if (schedule == 1) std::reverse(warp_order.begin(), warp_order.end());
  std::vector<int> lanes(kWarp);
  std::iota(lanes.begin(), lanes.end(), 0);
  if (schedule == 1) std::reverse(lanes.begin(), lanes.end());
  for (bool left = true; left;) {
    const uint64_t before = moves;
    left = false;
    if (random) std::shuffle(warp_order.begin(), warp_order.end(), generator);
    for (const int warp : warp_order) {
      uint64_t last;
      do {
        last = moves;
        if (random) std::shuffle(lanes.begin(), lanes.end(), generator);
        for (const int lane : lanes) {
          const int thread = warp * kWarp + lane;
          if (thread < threads && !fibers[thread].finished) resume(fibers[thread]);
        }
      } while (random && moves != last);
      for (int t = warp * kWarp; t < threads && t < (warp + 1) * kWarp; ++t) left |= !fibers[t].finished;
    }
    if (left && moves == before) fail("a barrier or shuffle is not reached by all threads of its block or warp");
  }
}
#endif

void run_block(int threads) {
#if defined(EMULATION_THREADS)
  struct Task {
    Coordinates coordinates;
  };
  std::vector<Task> tasks(threads, Task{coordinates});
  std::vector<pthread_t> handles(threads);
  for (int t = 0; t < threads; ++t) {
    tasks[t].coordinates.thread.x = t;
    pthread_create(&handles[t], nullptr, [](void* task) -> void* {
      coordinates = static_cast<Task*>(task)->coordinates;
      warp_rounds = 0;
      (*body)();
      return nullptr;
    }, &tasks[t]);
  }
  for (pthread_t handle : handles) pthread_join(handle, nullptr);
#else
  if (static_cast<int>(fibers.size()) < threads) fibers.resize(threads);
  for (int t = 0; t < threads; ++t) {
    if (!fibers[t].stack) fibers[t].stack.reset(new unsigned char[kStack]);
    fibers[t].started = fibers[t].finished = false;
    fibers[t].thread.x = t;
  }
  run_fibers(threads);
#endif
}

}  // namespace

Coordinates& current() { return coordinates; }
unsigned char* shared_memory() { return block->shared.data(); }
void set_schedule(int order) { schedule = order; }
void set_resident(int blocks) { resident = blocks; }
int resident_blocks() { return resident; }

void skip_barrier(const char* file, int line) {
  skipped_file = file;
  skipped_line = line;
}

static bool is_skipped(const char* file, int line) {
  const char* name = std::strrchr(file, '/');
  return line == skipped_line && std::strcmp(name ? name + 1 : file, skipped_file) == 0;
}

void wait_block(const char* file, int line) {
  if (!is_skipped(file, line)) meet(block->all, line);
}

int or_block(int value, const char* file, int line) {
  if (is_skipped(file, line)) return 1;
  static std::atomic<int> any;
  any = 0;
  meet(block->all);
  if (value) any = 1;
  meet(block->all);
  const int result = any;
  meet(block->all);
  return result;
}

uint64_t shuffle_xor(uint64_t bits, int mask) {
  const int thread = coordinates.thread.x;
  Meeting& warp = block->warps[thread / kWarp];
#if defined(EMULATION_THREADS)
  std::vector<uint64_t>& slots = block->slots[warp_rounds++ % 2];
#else
  std::vector<uint64_t>& slots = block->slots[warp.round % 2];
#endif
  slots[thread] = bits;
  meet(warp);
  return slots[thread ^ mask];
}

void launch(int64_t blocks, int threads, size_t bytes, const std::function<void()>& kernel) {
  Block storage;
  block = &storage;
  body = &kernel;
  storage.warps.resize((threads + kWarp - 1) / kWarp);
  for (auto& slots : storage.slots) slots.resize(threads);
  coordinates.block_size.x = threads;
  coordinates.grid_size.x = static_cast<unsigned>(blocks);
  for (int64_t b = 0; b < blocks; ++b) {
    storage.shared.assign(bytes, 0xff);   // NaN: what a kernel does not write must not be used
    start(storage.all, threads);
    for (size_t w = 0; w < storage.warps.size(); ++w)
      start(storage.warps[w], threads - static_cast<int>(w) * kWarp < kWarp ? threads % kWarp : kWarp);
    coordinates.block.x = static_cast<unsigned>(b);
    run_block(threads);
  }
}

}  // namespace emulation
