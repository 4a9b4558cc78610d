#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <system_error>

#include "base/check.h"

namespace dsv {
namespace {

// About 50 microseconds on current cores: longer than the gap between two operators of a token.
constexpr int64_t kSpins = 2000;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// CPUs granted by the cgroup v2 quota of this process, rounded up; 0 if there is none.
int64_t QuotaThreads() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  int64_t period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return 0;
  const int64_t microseconds = std::strtoll(quota.c_str(), nullptr, 10);
  return (microseconds + period - 1) / period;
}

}  // namespace

ThreadPool::ThreadPool(int64_t threads) {
  DSV_CHECK(threads >= 1);
  workers_.reserve(static_cast<size_t>(threads - 1));
  try {
    for (int64_t worker = 1; worker < threads; ++worker) {
      workers_.emplace_back([this, worker] { WorkerLoop(worker); });
    }
  } catch (const std::system_error&) {
    // The system grants no more threads; results do not depend on their number.
  }
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  started_.fetch_add(1, std::memory_order_release);
  started_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::Run(int64_t count, const void* context, Function function) {
  DSV_CHECK(count < int64_t{1} << 31);
  if (workers_.empty() || count <= 1) {
    for (int64_t i = 0; i < count; ++i) function(context, i, 0);
    return;
  }
  function_ = function;
  context_ = context;
  done_.store(0, std::memory_order_relaxed);
  work_.store(static_cast<uint64_t>(count) << 32, std::memory_order_release);
  started_.fetch_add(1, std::memory_order_release);
  started_.notify_all();
  TakeIndices(0);
  for (int64_t spins = 0; done_.load(std::memory_order_acquire) != count; ++spins) {
    if (spins > kSpins) std::this_thread::yield();
    Pause();
  }
}

// Runs indices until none is free; false if none was.
bool ThreadPool::TakeIndices(int64_t worker) {
  const auto is_free = [](uint64_t work) { return (work & 0xFFFFFFFFU) < work >> 32; };
  bool any = false;
  while (is_free(work_.load(std::memory_order_relaxed))) {
    const uint64_t work = work_.fetch_add(1, std::memory_order_acq_rel);
    if (!is_free(work)) break;
    function_(context_, static_cast<int64_t>(work & 0xFFFFFFFFU), worker);
    done_.fetch_add(1, std::memory_order_acq_rel);
    any = true;
  }
  return any;
}

void ThreadPool::WorkerLoop(int64_t worker) {
  int64_t idle = 0;
  while (!stop_.load(std::memory_order_relaxed)) {
    const uint32_t started = started_.load(std::memory_order_acquire);
    if (TakeIndices(worker)) {
      idle = 0;
    } else if (++idle < kSpins) {
      Pause();
    } else if (!stop_.load(std::memory_order_relaxed)) {
      started_.wait(started, std::memory_order_acquire);
      idle = 0;
    }
  }
}

int64_t AvailableThreads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int64_t threads = sched_getaffinity(0, sizeof set, &set) == 0
                        ? CPU_COUNT(&set)
                        : static_cast<int64_t>(std::thread::hardware_concurrency());
  if (const int64_t quota = QuotaThreads(); quota > 0) threads = std::min(threads, quota);
  return std::max<int64_t>(threads, 1);
}

}  // namespace dsv
