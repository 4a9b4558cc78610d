// A fixed set of threads for the loops of one Engine.
//
// Threads spin briefly between loops, because the operators of one token follow each other within
// microseconds, and sleep when nothing comes. Which thread runs which index is not fixed, so a body
// must write only what its index owns; results then do not depend on the number of threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace dsv {

class ThreadPool {
 public:
  // `threads` >= 1 counts the calling thread; fewer if the system does not grant as many.
  explicit ThreadPool(int64_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int64_t size() const { return static_cast<int64_t>(workers_.size()) + 1; }

  // Calls body(index, worker) once for every index in [0, count), worker in [0, size()), and
  // returns when all calls have. One loop at a time; a body must not call ParallelFor.
  template <class Body>
  void ParallelFor(int64_t count, const Body& body) {
    Run(count, &body, [](const void* context, int64_t index, int64_t worker) {
      (*static_cast<const Body*>(context))(index, worker);
    });
  }

 private:
  using Function = void (*)(const void* context, int64_t index, int64_t worker);

  void Run(int64_t count, const void* context, Function function);
  void WorkerLoop(int64_t worker);
  bool TakeIndices(int64_t worker);

  std::vector<std::thread> workers_;
  // Written by Run before work_ is published, and not again before every index is done.
  Function function_ = nullptr;
  const void* context_ = nullptr;
  // The loop that runs: its count in the high half, the next free index in the low half. A thread
  // that comes late finds no index left, so a loop never waits for a thread without work.
  alignas(64) std::atomic<uint64_t> work_{0};
  alignas(64) std::atomic<int64_t> done_{0};      // indices of this loop that have returned
  alignas(64) std::atomic<uint32_t> started_{0};  // loops so far; what sleeping threads wait on
  std::atomic<bool> stop_{false};
};

// The number of threads that this process may use: its CPU affinity and cgroup quota.
int64_t AvailableThreads();

}  // namespace dsv
