#include "store/prefix_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

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
using testing::OpenError;
using testing::OpenStore;
using testing::PutChain;
using testing::StoreWithChain;
using testing::TempDir;
using testing::Views;

TEST(PrefixStore, GivesBackWhatWasPut) {
  StoreWithChain test(5);
  EXPECT_EQ(CountHeld(*test.store, test.chain), 5u);
  const auto block = test.store->Get(test.chain.Keys()[2]);
  ASSERT_TRUE(block && *block);
  EXPECT_EQ(reinterpret_cast<uintptr_t>((*block)->part(0).data()) % 64, 0u);
  EXPECT_EQ((*block)->part(1).size(), 0u);
  EXPECT_EQ((*block)->part(2).data(), (*block)->part(0).data() + 600);
  EXPECT_TRUE(test.store->Contains(test.chain.Keys()[4]));
  EXPECT_FALSE(test.store->Contains(test.root));
  EXPECT_FALSE(test.store->Contains(RootKey("other")));
  EXPECT_FALSE(test.store->Get(test.root)->has_value());
}

TEST(PrefixStore, SurvivesReopening) {
  StoreWithChain test(5);
  for (int i = 0; i < 3; ++i) {
    test.Reopen();
    EXPECT_EQ(CountHeld(*test.store, test.chain), 5u);
    EXPECT_TRUE(test.store->TakeNotes().empty());
  }
  const Chain branch{test.chain.Keys()[2], 100, 3};
  PutChain(*test.store, branch);
  test.Reopen();
  EXPECT_EQ(CountHeld(*test.store, test.chain), 5u);
  EXPECT_EQ(CountHeld(*test.store, branch), 3u) << "closing flushes";
}

TEST(PrefixStore, ServesOnlyWhatIsFlushed) {
  StoreWithChain test(1);
  const Chain more{test.chain.Keys()[0], 50, 2};
  PutChain(*test.store, more);
  EXPECT_TRUE(test.store->Contains(more.Keys()[1]));
  EXPECT_EQ(CountHeld(*test.store, more), 0u);
  ASSERT_TRUE(test.store->Flush());
  EXPECT_EQ(CountHeld(*test.store, more), 2u);
}

TEST(PrefixStore, NeverWritesAPrefixTwice) {
  StoreWithChain test(20);
  const StoreStat before = *test.store->Stat();
  for (const PutOutcome outcome : PutChain(*test.store, test.chain)) {
    EXPECT_EQ(outcome, PutOutcome::kPresent);
  }
  ASSERT_TRUE(test.store->Flush());
  const StoreStat after = *test.store->Stat();
  EXPECT_EQ(after.written_segment_bytes, before.written_segment_bytes);
  EXPECT_EQ(after.blocks, 20);
  EXPECT_EQ(after.chains, 1);
}

TEST(PrefixStore, RefusesBlocksWithoutParent) {
  const TempDir directory;
  const auto store = OpenStore(directory.path());
  const auto outcome = store->Put(RootKey("model"), MakeTokens(1), Views(MakePayload(1)));
  ASSERT_TRUE(outcome);
  EXPECT_EQ(*outcome, PutOutcome::kNoParent);
  EXPECT_EQ(*store->PutTail(RootKey("model"), {}, Views(MakePayload(1))), PutOutcome::kNoParent);
}

TEST(PrefixStore, KeepsModelsApart) {
  StoreWithChain test(3);
  const ChainKey other = *test.store->AddRoot("another model");
  EXPECT_EQ(CountHeld(*test.store, {other, 1, 3}), 0u);
  EXPECT_EQ(*test.store->AddRoot("another model"), other);
}

TEST(PrefixStore, BeginsNewSegments) {
  StoreWithChain test(19, {.segment_bytes = 20'000});
  EXPECT_EQ(test.store->Stat()->segments, 5);
  test.Reopen({.segment_bytes = 20'000});
  EXPECT_EQ(CountHeld(*test.store, test.chain), 19u);
  PutChain(*test.store, {test.chain.Keys().back(), 100, 1});
  ASSERT_TRUE(test.store->Flush());
  EXPECT_EQ(test.store->Stat()->segments, 5) << "the last one had room";
}

// At the size of a Flash block, 449,824 bytes in 43 parts, flushed every 2,048 tokens.
TEST(PrefixStore, CostsLessThanAPercent) {
  const TempDir directory;
  const auto store = OpenStore(directory.path());
  ChainKey key = *store->AddRoot("model");
  const std::vector<size_t> sizes(43, 10461);
  const auto payload = MakePayload(1, sizes);
  constexpr int64_t kBlocks = 256;
  for (int64_t i = 0; i < kBlocks; ++i) {
    const auto tokens = MakeTokens(static_cast<uint64_t>(i));
    ASSERT_EQ(*store->Put(key, tokens, Views(payload)), PutOutcome::kWritten);
    key = NextKey(key, tokens);
    ASSERT_TRUE(i % 16 != 15 || store->Flush());
  }
  ASSERT_TRUE(store->Gc());
  const StoreStat stat = *store->Stat();
  constexpr int64_t kRows = kBlocks * 43 * 10461;
  EXPECT_LT(stat.disk_bytes, kRows + kRows / 100);
  EXPECT_LT(stat.written_segment_bytes, kRows + kRows / 250);
  EXPECT_LT(stat.written_index_bytes, kRows / 100);
}

TEST(Tails, TheLongestPrefixIsFound) {
  StoreWithChain test(2);
  const ChainKey parent = test.chain.Keys()[1];
  const auto rest = MakeTokens(9, 100);
  for (const size_t length : {0u, 7u, 40u}) {
    const auto outcome =
        test.store->PutTail(parent, std::span(rest).first(length), Views(MakePayload(length)));
    ASSERT_TRUE(outcome) << outcome.error().message;
    EXPECT_EQ(*outcome, PutOutcome::kWritten);
  }
  EXPECT_EQ(*test.store->PutTail(parent, std::span(rest).first(7), {}), PutOutcome::kPresent);
  const auto find = [&](size_t length) -> int64_t {
    const auto tail = test.store->FindTail(parent, std::span(rest).first(length));
    EXPECT_TRUE(tail) << tail.error().message;
    if (!tail || !*tail) return -1;
    EXPECT_TRUE(Holds((*tail)->block, MakePayload((*tail)->rest.size())));
    return (*tail)->position;
  };
  test.Reopen();
  EXPECT_EQ(find(6), 256);
  EXPECT_EQ(find(7), 263);
  EXPECT_EQ(find(39), 263);
  EXPECT_EQ(find(100), 296);
  ASSERT_TRUE(test.store->DropTail(parent, std::span(rest).first(40)));
  EXPECT_EQ(find(100), 263);
  EXPECT_FALSE(test.store->FindTail(test.chain.Keys()[0], rest)->has_value());
  ASSERT_TRUE(test.store->Flush());
  EXPECT_EQ(CountFiles(test.directory / "tails"), 2u);
}

TEST(Tails, HangFromRootsToo) {
  StoreWithChain test(0);
  const auto rest = MakeTokens(9, 5);
  ASSERT_EQ(*test.store->PutTail(test.root, rest, Views(MakePayload(4))), PutOutcome::kWritten);
  const auto tail = test.store->FindTail(test.root, MakeTokens(9, 6));
  ASSERT_TRUE(tail && *tail);
  EXPECT_EQ((*tail)->position, 5);
  EXPECT_EQ(test.store->Stat()->chains, 1);
}

TEST(Names, AreReplacedAndListed) {
  StoreWithChain test(2);
  NamedSession session{"book", "model", test.chain.Keys()[1], 256, MakeTokens(1, 1000)};
  ASSERT_TRUE(test.store->PutName(session));
  session.tokens = MakeTokens(1, 300);
  session.tokens.push_back(7);
  session.position = 301;
  ASSERT_TRUE(test.store->PutName(session));
  ASSERT_TRUE(test.store->PutName({"empty", "", test.root, 0, {}}));
  test.Reopen();
  const auto found = test.store->GetName("book");
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->tokens, session.tokens);
  EXPECT_EQ((*found)->identity, "model");
  EXPECT_EQ((*found)->chain, session.chain);
  EXPECT_EQ((*found)->position, 301);
  EXPECT_FALSE(test.store->GetName("absent")->has_value());
  const auto names = test.store->ListNames();
  ASSERT_EQ(names->size(), 2u);
  EXPECT_EQ((*names)[0].name, "book");
  EXPECT_EQ((*names)[0].tokens, 301);
  EXPECT_GT((*names)[0].updated_ms, 1'600'000'000'000);
  EXPECT_TRUE(*test.store->DropName("book"));
  EXPECT_FALSE(*test.store->DropName("book"));
  EXPECT_FALSE(test.store->GetName("book")->has_value());
}

TEST(Names, WriteOnlyWhatChanged) {
  StoreWithChain test(1);
  NamedSession session{"long", "model", test.root, 0, MakeTokens(1, 200'000)};
  ASSERT_TRUE(test.store->PutName(session));
  const int64_t before = test.store->Stat()->written_index_bytes;
  session.tokens.resize(session.tokens.size() + 50, 7);
  ASSERT_TRUE(test.store->PutName(session));
  EXPECT_LT(test.store->Stat()->written_index_bytes - before, 40'000);
  EXPECT_EQ((*test.store->GetName("long"))->tokens, session.tokens);
}

TEST(PrefixStore, ListsChains) {
  StoreWithChain test(4);
  PutChain(*test.store, {test.chain.Keys()[1], 100, 1});
  ASSERT_EQ(*test.store->PutTail(test.chain.Keys()[3], MakeTokens(5, 9), {}), PutOutcome::kWritten);
  const auto chains = test.store->ListChains();
  ASSERT_TRUE(chains) << chains.error().message;
  ASSERT_EQ(chains->size(), 2u);
  EXPECT_EQ((*chains)[0].key, (Chain{test.chain.Keys()[1], 100, 1}.Keys()[0]));
  EXPECT_EQ((*chains)[0].tokens, 3 * 128);
  EXPECT_EQ((*chains)[1].key, test.chain.Keys()[3]);
  EXPECT_EQ((*chains)[1].tokens, 4 * 128 + 9);
  EXPECT_EQ((*chains)[1].blocks, 4);
  EXPECT_EQ((*chains)[1].identity, "model");
  EXPECT_GT((*chains)[1].bytes, 4 * 5600);
}

TEST(Access, ASecondWriterIsRefusedByName) {
  const StoreWithChain test(1);
  EXPECT_EQ(OpenError(test.directory.path()),
            fmt::format("{}: process {} is writing to this store, expected no other writer",
                        test.directory.path().string(), getpid()));
}

TEST(Access, AReaderBesideTheWriterSeesWhatIsFlushed) {
  StoreWithChain test(2);
  const auto reader = OpenStore(test.directory.path(), {.read_only = true});
  ASSERT_NE(reader, nullptr);
  EXPECT_EQ(CountHeld(*reader, test.chain), 2u);
  const Chain more{test.chain.Keys()[1], 50, 3};
  PutChain(*test.store, more);
  EXPECT_EQ(CountHeld(*reader, more), 0u);
  EXPECT_FALSE(reader->Contains(more.Keys()[0]));
  ASSERT_TRUE(test.store->Flush());
  EXPECT_EQ(CountHeld(*reader, more), 3u);
  ASSERT_EQ(*test.store->PutTail(more.Keys()[2], MakeTokens(3, 3), Views(MakePayload(3))),
            PutOutcome::kWritten);
  EXPECT_TRUE(reader->FindTail(more.Keys()[2], MakeTokens(3, 9))->has_value());
  EXPECT_FALSE(reader->Put(test.root, MakeTokens(1), {}));
  EXPECT_FALSE(reader->Flush());
  EXPECT_FALSE(reader->PutName({}));
  EXPECT_EQ(*reader->AddRoot("model"), test.root);
  EXPECT_TRUE(reader->Verify()->problems.empty());
}

// Returns the exit code of `work` in a process that may only read the directory.
int InUnprivilegedChild(const fs::path& directory, const std::function<bool()>& work) {
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    fs::permissions(entry, fs::perms(entry.is_directory() ? 0555 : 0444));
  }
  fs::permissions(directory, fs::perms(0555));
  const pid_t child = fork();
  if (child == 0) {
    constexpr uid_t kNobody = 65534;
    if (geteuid() == 0 && setuid(kNobody) != 0) _exit(3);
    if (access(directory.c_str(), W_OK) == 0) _exit(3);
    _exit(work() ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    fs::permissions(entry, fs::perms(entry.is_directory() ? 0755 : 0644));
  }
  fs::permissions(directory, fs::perms(0755));
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Access, AReadOnlyDirectoryCanBeRead) {
  StoreWithChain test(3);
  test.Close();
  const int code = InUnprivilegedChild(test.directory.path(), [&] {
    const auto reader = PrefixStore::Open(test.directory.path(), {.read_only = true});
    return reader && CountHeld(**reader, test.chain) == 3 &&
           !PrefixStore::Open(test.directory.path());
  });
  if (code == 3) GTEST_SKIP() << "this user can write everywhere";
  EXPECT_EQ(code, 0);
}

TEST(Access, AReaderWithoutRightsReadsBesideTheWriter) {
  StoreWithChain test(3);
  const int code = InUnprivilegedChild(test.directory.path(), [&] {
    const auto reader = PrefixStore::Open(test.directory.path(), {.read_only = true});
    return reader && CountHeld(**reader, test.chain) == 3;
  });
  if (code == 3) GTEST_SKIP() << "this user can write everywhere";
  EXPECT_EQ(code, 0);
}

// Dies without closing the store.
void LeaveLog(const fs::path& directory, const Chain& chain) {
  const pid_t child = fork();
  if (child == 0) {
    const auto store = PrefixStore::Open(directory);
    if (store) PutChain(**store, chain);
    _exit(store && (*store)->Flush() ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_EQ(status, 0);
  EXPECT_GT(fs::file_size(directory / "index.sqlite-wal"), 0u);
}

TEST(Access, AReaderAfterAKilledWriterSeesWhatWasFlushed) {
  StoreWithChain test(3);
  test.Close();
  const Chain more{test.chain.Keys()[2], 50, 3};
  LeaveLog(test.directory.path(), more);
  const int code = InUnprivilegedChild(test.directory.path(), [&] {
    const auto reader = PrefixStore::Open(test.directory.path(), {.read_only = true});
    return reader && CountHeld(**reader, more) == 3;
  });
  EXPECT_TRUE(code == 0 || code == 3) << code;
  fs::remove(test.directory / "index.sqlite-shm");
  EXPECT_NE(InUnprivilegedChild(test.directory.path(),
                                [&] {
                                  return OpenError(test.directory.path(), {.read_only = true})
                                             .find("open the store once where it can be written") !=
                                         std::string::npos;
                                }),
            1);
  const auto reader = OpenStore(test.directory.path(), {.read_only = true});
  EXPECT_EQ(CountHeld(*reader, more), 3u);
}

TEST(Access, WhatIsNoStoreIsNamed) {
  const TempDir directory;
  EXPECT_EQ(OpenError(directory / "absent", {.read_only = true}),
            (directory / "absent/index.sqlite").string() + ": expected a prefix store, found none");
  directory.Write("file", "");
  EXPECT_NE(OpenError(directory / "file").find("cannot create"), std::string::npos);
}

}  // namespace
}  // namespace dsv
