// Kills and full disks.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include "store/kill_loop_test_util.h"
#include "store/store_test_util.h"

namespace dsv {
namespace {

using testing::Chain;
using testing::CountFiles;
using testing::CountHeld;
using testing::MakePayload;
using testing::MakeTokens;
using testing::PutChain;
using testing::RunKillLoop;
using testing::StoreWithChain;
using testing::TempDir;
using testing::Views;

TEST(Kill, NothingAcknowledgedIsLost) {
  const TempDir directory;
  const auto report = RunKillLoop(directory.path(), 20, 4);
  EXPECT_EQ(report.failure, "");
  EXPECT_EQ(report.kills, 20);
  EXPECT_GT(report.blocks, 0);
}

// While it lives no file can grow beyond `bytes`: writes fail as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &before_), 0);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit() { EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &before_), 0); }

 private:
  rlimit before_ = {};
};

void ExpectUsable(StoreWithChain& test) {
  EXPECT_EQ(CountHeld(*test.store, test.chain), test.chain.length);
  const Chain more{test.chain.Keys().back(), 900, 3};
  PutChain(*test.store, more);
  ASSERT_TRUE(test.store->Flush());
  EXPECT_EQ(CountHeld(*test.store, more), 3u);
  test.Reopen();
  EXPECT_EQ(CountHeld(*test.store, more), 3u);
  EXPECT_TRUE(test.store->Verify()->problems.empty());
  EXPECT_TRUE(test.store->TakeNotes().empty());
}

TEST(FullDisk, FailsPutAndKeepsWhatWasFlushed) {
  StoreWithChain test(5);
  {
    const FileSizeLimit limit(100'000);
    ChainKey key = test.chain.Keys().back();
    Status status;
    for (uint64_t seed = 500; status && seed < 600; ++seed) {
      const auto outcome = test.store->Put(key, MakeTokens(seed), Views(MakePayload(seed)));
      if (!outcome) status = tl::unexpected(outcome.error());
      key = NextKey(key, MakeTokens(seed));
    }
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().message,
              (test.directory / "segments/000001.seg").string() + ": cannot write: File too large");
    EXPECT_EQ(CountHeld(*test.store, test.chain), 5u);
    EXPECT_FALSE(test.store->Contains(NextKey(test.chain.Keys().back(), MakeTokens(500))));
  }
  ExpectUsable(test);
}

TEST(FullDisk, FailsFlushWhenTheIndexCannotGrow) {
  StoreWithChain test(5);
  {
    const FileSizeLimit limit(150'000);
    const Status status =
        test.store->PutName({"long", "model", test.root, 0, MakeTokens(1, 300'000)});
    ASSERT_FALSE(status);
    EXPECT_NE(status.error().message.find("index.sqlite: "), std::string::npos);
    EXPECT_EQ(CountHeld(*test.store, test.chain), 5u);
    EXPECT_FALSE(test.store->GetName("long")->has_value());
  }
  ExpectUsable(test);
}

TEST(FullDisk, FailsTailsWithoutLeavingAFile) {
  StoreWithChain test(5);
  {
    const FileSizeLimit limit(50'000);
    constexpr size_t kSizes[] = {80'000};
    const auto outcome =
        test.store->PutTail(test.root, MakeTokens(1, 3), Views(MakePayload(1, kSizes)));
    ASSERT_FALSE(outcome);
    EXPECT_NE(outcome.error().message.find(".tail.partial: cannot write"), std::string::npos);
    EXPECT_EQ(CountFiles(test.directory / "tails"), 0u);
  }
  ExpectUsable(test);
}

TEST(FullDisk, CanBeOpenedAgainAfterwards) {
  StoreWithChain test(5);
  {
    const FileSizeLimit limit(40'000);
    PutChain(*test.store, {test.chain.Keys().back(), 500, 1});
    (void)test.store->PutName({"long", "model", test.root, 0, MakeTokens(1, 300'000)});
    test.Close();
    const auto reader = PrefixStore::Open(test.directory.path(), {.read_only = true});
    ASSERT_TRUE(reader) << reader.error().message;
    EXPECT_EQ(CountHeld(**reader, test.chain), 5u);
  }
  test.Reopen();
  ExpectUsable(test);
}

}  // namespace
}  // namespace dsv
