#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace dsv {
namespace {

TEST(ThreadPool, CallsEveryIndexOnce) {
  for (const int64_t threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (const int64_t count : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> calls(static_cast<size_t>(count));
      pool.ParallelFor(count, [&](int64_t index, int64_t worker) {
        EXPECT_TRUE(worker >= 0 && worker < threads);
        calls[static_cast<size_t>(index)].fetch_add(1, std::memory_order_relaxed);
      });
      for (const auto& n : calls) ASSERT_EQ(n.load(), 1) << threads << " threads, " << count;
    }
  }
}

// What a loop wrote is seen after it and by the next one, without any other synchronisation.
TEST(ThreadPool, ManyLoopsFollowEachOther) {
  ThreadPool pool(5);
  std::vector<int64_t> values(37, 0);
  for (int64_t loop = 0; loop < 3000; ++loop) {
    const int64_t count = 1 + loop % 37;
    pool.ParallelFor(count, [&](int64_t index, int64_t) {
      const auto at = static_cast<size_t>(index);
      values[at] += 1;
    });
  }
  int64_t sum = 0;
  int64_t expected = 0;
  for (const int64_t value : values) sum += value;
  for (int64_t loop = 0; loop < 3000; ++loop) expected += 1 + loop % 37;
  EXPECT_EQ(sum, expected);
}

// A worker never runs two indices at the same time, so that scratch per worker is safe.
TEST(ThreadPool, WorkersAreExclusive) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> active(4);
  pool.ParallelFor(500, [&](int64_t, int64_t worker) {
    auto& mine = active[static_cast<size_t>(worker)];
    EXPECT_EQ(mine.fetch_add(1), 0);
    std::this_thread::yield();
    mine.fetch_sub(1);
  });
}

// Threads that went to sleep wake up again.
TEST(ThreadPool, WakesAfterIdleTime) {
  ThreadPool pool(3);
  std::atomic<int64_t> calls = 0;
  for (int round = 0; round < 4; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    pool.ParallelFor(50, [&](int64_t, int64_t) { calls.fetch_add(1); });
  }
  EXPECT_EQ(calls.load(), 200);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
// Sanitizers need more address space than this test leaves.
TEST(ThreadPool, IsSmallerIfTheSystemGrantsFewerThreads) {
  constexpr int64_t kThreads = 4096;  // with stacks of megabytes each
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  rlimit small = before;
  small.rlim_cur = rlim_t{1} << 30;
  ASSERT_EQ(setrlimit(RLIMIT_AS, &small), 0);
  ThreadPool pool(kThreads);
  ASSERT_EQ(setrlimit(RLIMIT_AS, &before), 0);
  EXPECT_LT(pool.size(), kThreads);
  std::atomic<int64_t> calls = 0;
  pool.ParallelFor(5000, [&](int64_t, int64_t worker) {
    EXPECT_LT(worker, pool.size());
    calls.fetch_add(1);
  });
  EXPECT_EQ(calls.load(), 5000);
}
#endif

TEST(ThreadPool, StartsAndStopsWithoutWork) {
  for (int i = 0; i < 50; ++i) ThreadPool pool(4);
}

TEST(AvailableThreads, IsPositive) { EXPECT_GE(AvailableThreads(), 1); }

}  // namespace
}  // namespace dsv
