// The cap: what goes, what stays, and where the space goes.
#include <gtest/gtest.h>

#include <algorithm>

#include "store/store_test_util.h"

namespace dsv {
namespace {

namespace fs = std::filesystem;
using testing::Chain;
using testing::CountFiles;
using testing::CountHeld;
using testing::Holds;
using testing::MakePayload;
using testing::MakeTokens;
using testing::OpenStore;
using testing::PutChain;
using testing::StoreWithChain;
using testing::Views;

constexpr uint64_t kRecordBytes = 640 + 5632;

int64_t LiveBytes(PrefixStore& store) {
  const StoreStat stat = *store.Stat();
  return stat.block_bytes + stat.tail_bytes;
}

// Big enough for whole pages to lie inside a dead record.
Chain PutBigChain(PrefixStore& store, const ChainKey& parent, uint64_t seed, size_t length) {
  ChainKey key = parent;
  constexpr size_t kSizes[] = {50'000, 50'000};
  for (size_t i = 0; i < length; ++i) {
    const auto tokens = MakeTokens(seed + i);
    EXPECT_TRUE(store.Put(key, tokens, Views(MakePayload(seed + i, kSizes))));
    key = NextKey(key, tokens);
  }
  EXPECT_TRUE(store.Flush());
  return {parent, seed, length};
}

TEST(Eviction, TheOldestChainGoesFromItsEnd) {
  StoreWithChain test(4, {.max_bytes = 10 * kRecordBytes});
  const Chain second{test.root, 100, 4};
  PutChain(*test.store, second);
  ASSERT_TRUE(test.store->Flush());
  EXPECT_EQ(CountHeld(*test.store, test.chain), 4u);  // now used later than the second
  const Chain third{test.root, 200, 4};
  PutChain(*test.store, third);
  ASSERT_TRUE(test.store->Flush());
  EXPECT_EQ(CountHeld(*test.store, test.chain), 4u);
  EXPECT_EQ(CountHeld(*test.store, second), 2u);
  EXPECT_EQ(CountHeld(*test.store, third), 4u);
  EXPECT_EQ(LiveBytes(*test.store), 10 * kRecordBytes);
}

TEST(Eviction, UseIsRememberedAcrossRuns) {
  StoreWithChain test(4);
  const Chain second{test.root, 100, 4};
  PutChain(*test.store, second);
  ASSERT_TRUE(test.store->Flush());
  EXPECT_EQ(CountHeld(*test.store, test.chain), 4u);
  test.Reopen({.max_bytes = 4 * kRecordBytes});
  ASSERT_TRUE(test.store->Gc());
  EXPECT_EQ(CountHeld(*test.store, test.chain), 4u);
  EXPECT_EQ(CountHeld(*test.store, second), 0u);
}

TEST(Eviction, ASharedPrefixStaysAsLongAsAnythingBelowIt) {
  StoreWithChain test(4);
  const Chain left{test.chain.Keys()[3], 100, 2};
  const Chain right{test.chain.Keys()[3], 200, 2};
  PutChain(*test.store, left);
  PutChain(*test.store, right);
  test.Reopen({.max_bytes = 6 * kRecordBytes});
  ASSERT_TRUE(test.store->Gc());
  EXPECT_EQ(CountHeld(*test.store, test.chain), 4u);
  EXPECT_EQ(CountHeld(*test.store, left), 0u);
  EXPECT_EQ(CountHeld(*test.store, right), 2u);
}

TEST(Eviction, TailsGoBeforeTheirBlocks) {
  StoreWithChain test(2);
  const ChainKey end = test.chain.Keys()[1];
  ASSERT_TRUE(test.store->PutTail(end, MakeTokens(5, 3), Views(MakePayload(1))));
  const uint64_t tail_bytes = static_cast<uint64_t>(test.store->Stat()->tail_bytes);
  test.Reopen({.max_bytes = 2 * kRecordBytes + tail_bytes - 1});
  ASSERT_TRUE(test.store->Gc());
  EXPECT_EQ(CountHeld(*test.store, test.chain), 2u);
  EXPECT_EQ(test.store->Stat()->tails, 0);
  EXPECT_EQ(CountFiles(test.directory / "tails"), 0u);
}

TEST(Eviction, OldTailsOfAChainInUseGo) {
  StoreWithChain test(2);
  const auto keys = test.chain.Keys();
  ASSERT_TRUE(test.store->PutTail(keys[0], MakeTokens(5, 3), Views(MakePayload(1))));
  ASSERT_TRUE(test.store->PutTail(keys[1], MakeTokens(5, 3), Views(MakePayload(1))));
  EXPECT_EQ(CountHeld(*test.store, test.chain), 2u);
  test.Reopen({.max_bytes = static_cast<uint64_t>(LiveBytes(*test.store)) - 1});
  ASSERT_TRUE(test.store->Gc());
  EXPECT_FALSE(test.store->FindTail(keys[0], MakeTokens(5, 3))->has_value());
  EXPECT_TRUE(test.store->FindTail(keys[1], MakeTokens(5, 3))->has_value());
}

// Chains stay closed and below the cap whatever is put, used and dropped.
TEST(Eviction, NoBlockEverLacksItsParent) {
  constexpr uint64_t kCap = 25 * kRecordBytes;
  StoreWithChain test(0, {.max_bytes = kCap, .segment_bytes = 60'000});
  std::mt19937_64 random(7);
  std::vector<Chain> chains;
  for (uint64_t step = 0; step < 300; ++step) {
    ChainKey parent = test.root;
    if (!chains.empty() && random() % 3 != 0) {
      const auto keys = chains[random() % chains.size()].Keys();
      parent = keys[random() % keys.size()];
    }
    const Chain chain{parent, step * 100, 1 + random() % 5};
    PutChain(*test.store, chain);
    if (random() % 4 == 0) {
      (void)test.store->PutTail(parent, MakeTokens(step, random() % 9), Views(MakePayload(step)));
    }
    if (random() % 3 == 0) {
      ASSERT_TRUE(test.store->Flush());
    }
    if (random() % 40 == 0) test.Reopen({.max_bytes = kCap, .segment_bytes = 60'000});
    EXPECT_LE(LiveBytes(*test.store), static_cast<int64_t>(kCap));
    chains.push_back(chain);
    if (random() % 2 == 0) CountHeld(*test.store, chains[random() % chains.size()]);
  }
  ASSERT_TRUE(test.store->Flush());
  int64_t held = 0;
  for (const Chain& chain : chains) {
    bool is_gone = chain.parent != test.root && !test.store->Contains(chain.parent);
    for (const ChainKey& key : chain.Keys()) {
      const bool is_here = test.store->Contains(key);
      EXPECT_FALSE(is_gone && is_here);
      is_gone = is_gone || !is_here;
      held += is_here ? 1 : 0;
    }
  }
  EXPECT_EQ(held, test.store->Stat()->blocks);
  EXPECT_TRUE(test.store->Verify()->problems.empty());
  EXPECT_TRUE(test.store->TakeNotes().empty());
  EXPECT_LT(test.store->Stat()->segments, 10);
}

TEST(Eviction, WhatIsInUseStays) {
  StoreWithChain test(3, {.max_bytes = 4 * kRecordBytes});
  const auto held = test.store->Get(test.chain.Keys()[2]);
  ASSERT_TRUE(held && *held);
  const Chain second{test.root, 100, 3};
  EXPECT_EQ(PutChain(*test.store, second),
            (std::vector{PutOutcome::kWritten, PutOutcome::kNoRoom, PutOutcome::kNoParent}));
  ASSERT_TRUE(test.store->Flush());
  EXPECT_EQ(CountHeld(*test.store, test.chain), 3u);
}

TEST(Eviction, ABlockLargerThanTheCapIsRefused) {
  StoreWithChain test(0, {.max_bytes = kRecordBytes - 1});
  EXPECT_EQ(PutChain(*test.store, {test.root, 1, 1}), std::vector{PutOutcome::kNoRoom});
}

TEST(Space, OfDeadRecordsIsGivenBack) {
  StoreWithChain test(0);
  PutBigChain(*test.store, test.root, 1, 20);
  PutBigChain(*test.store, test.root, 100, 20);
  const StoreStat before = *test.store->Stat();
  test.Reopen({.max_bytes = 2'050'000});
  ASSERT_TRUE(test.store->Gc());
  const StoreStat after = *test.store->Stat();
  EXPECT_EQ(after.blocks, 20);
  EXPECT_EQ(after.segments, 1);
  EXPECT_EQ(after.written_segment_bytes, 0) << "nothing is moved";
  if (after.dead_bytes > 0) GTEST_SKIP() << "this file system cannot punch holes";
  EXPECT_LT(after.disk_bytes, before.disk_bytes - 1'900'000);
  EXPECT_LT(after.disk_bytes, 2'200'000);
}

TEST(Space, SegmentsWithoutBlocksAreRemoved) {
  StoreWithChain test(0, {.segment_bytes = 400'000});
  PutBigChain(*test.store, test.root, 1, 20);
  PutBigChain(*test.store, test.root, 100, 1);
  EXPECT_EQ(CountFiles(test.directory / "segments"), 6u);
  test.Reopen({.max_bytes = 150'000, .segment_bytes = 400'000});
  ASSERT_TRUE(test.store->Gc());
  EXPECT_EQ(CountFiles(test.directory / "segments"), 1u);
  EXPECT_EQ(test.store->Stat()->dead_bytes, 0);
  EXPECT_EQ(test.store->Stat()->blocks, 1);
}

TEST(Space, UnderAViewIsKeptUntilItIsGone) {
  StoreWithChain test(0);
  const Chain chain = PutBigChain(*test.store, test.root, 1, 3);
  const auto keys = chain.Keys();
  constexpr size_t kSizes[] = {50'000, 50'000};
  auto view = *test.store->Get(keys[1]);
  ASSERT_TRUE(view);
  test.store->MarkDamaged(keys[0], "for the test");
  ASSERT_TRUE(test.store->Gc());
  EXPECT_FALSE(test.store->Contains(keys[1]));
  EXPECT_TRUE(Holds(*view, MakePayload(2, kSizes)));
  const int64_t dead = test.store->Stat()->dead_bytes;
  EXPECT_GE(dead, 100'000);
  test.store.reset();
  EXPECT_TRUE(Holds(*view, MakePayload(2, kSizes))) << "after the store";
  view.reset();
  test.Reopen();
  const StoreStat stat = *test.store->Stat();
  if (stat.dead_bytes == dead + 200'000) GTEST_SKIP() << "this file system cannot punch holes";
  EXPECT_EQ(stat.dead_bytes, 0);
  EXPECT_LT(stat.disk_bytes, 150'000);
}

TEST(Space, UnderTheViewOfAReaderIsKeptToo) {
  StoreWithChain test(0);
  const auto keys = PutBigChain(*test.store, test.root, 1, 3).Keys();
  constexpr size_t kSizes[] = {50'000, 50'000};
  auto reader = OpenStore(test.directory.path(), {.read_only = true});
  auto view = *reader->Get(keys[1]);
  ASSERT_TRUE(view);
  reader.reset();
  test.store->MarkDamaged(keys[0], "for the test");
  ASSERT_TRUE(test.store->Gc());
  EXPECT_TRUE(Holds(*view, MakePayload(2, kSizes)));
  EXPECT_GE(test.store->Stat()->dead_bytes, 300'000);
  view.reset();
  ASSERT_TRUE(test.store->Gc());
  EXPECT_LT(test.store->Stat()->dead_bytes, 300'000);
}

}  // namespace
}  // namespace dsv
