// Sessions of one process that share a store.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "store/store_test_util.h"

namespace dsv {
namespace {

using testing::Chain;
using testing::CountHeld;
using testing::MakePayload;
using testing::MakeTokens;
using testing::OpenStore;
using testing::PutChain;
using testing::TempDir;
using testing::Views;

TEST(StoreThreads, ShareAPrefixAndKeepTheirOwn) {
  const TempDir directory;
  const auto store = OpenStore(directory.path(), {.segment_bytes = 100'000});
  const ChainKey root = *store->AddRoot("model");
  const Chain shared{root, 1, 10};
  const auto chain_of = [&](uint64_t thread) {
    return Chain{shared.Keys().back(), 1000 * (thread + 1), 12};
  };
  std::atomic<int> done = 0;
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      PutChain(*store, shared);
      PutChain(*store, chain_of(t));
      EXPECT_TRUE(store->Flush());
      EXPECT_TRUE(
          store->PutTail(chain_of(t).Keys().back(), MakeTokens(t, 3), Views(MakePayload(t))));
      EXPECT_EQ(CountHeld(*store, shared), 10u);
      EXPECT_EQ(CountHeld(*store, chain_of(t)), 12u);
      ++done;
    });
  }
  while (done < 4) {
    const auto report = store->Verify();
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_TRUE(report->problems.empty());
    EXPECT_TRUE(store->Stat());
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(store->Stat()->blocks, 10 + 4 * 12);
  EXPECT_EQ(store->Stat()->tails, 4);
}

}  // namespace
}  // namespace dsv
