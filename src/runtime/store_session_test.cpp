// Sessions through the store on disk: what is restored goes on with the bits of a cold run, in the
// same process and in later ones, and damage is never served.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "dsv4/dsv4.h"
#include "support/model_fixture.h"
#include "support/temp_dir.h"

namespace dsv4 {
namespace {

using dsv::testing::CheckpointOf;
using dsv::testing::TempDir;

using Tokens = std::vector<TokenId>;

Tokens Text(uint32_t seed, size_t size) {
  Tokens tokens(size);
  for (TokenId& token : tokens) {
    seed = seed * 1664525U + 1013904223U;
    token = static_cast<TokenId>(seed >> 26U);
  }
  return tokens;
}

class StoredSessions : public ::testing::Test {
 protected:
  Engine Open(EngineOptions options = {}) const { return TryOpen(std::move(options)).value(); }
  Result<Engine> TryOpen(EngineOptions options = {}) const {
    options.threads = 2;
    options.store = Directory();
    return Engine::Open(CheckpointOf("flash-tiny").string(), options);
  }
  static Engine OpenWithout() {
    return Engine::Open(CheckpointOf("flash-tiny").string(), {.threads = 2}).value();
  }
  // Logits after `next`, from a session that has never seen a store.
  static std::vector<float> Cold(const Tokens& tokens, const Tokens& next) {
    const Engine engine = OpenWithout();
    Session session = engine.NewSession().value();
    Tokens all = tokens;
    all.insert(all.end(), next.begin(), next.end());
    return session.Append(all).value();
  }
  std::string Directory() const { return (directory_.path() / "store").string(); }
  // Changes one bit of the byte at `offset` of the only segment, or changes it back.
  void Flip(int64_t offset) const {
    std::fstream stream(Segment(), std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(offset);
    const auto byte = static_cast<char>(stream.get() ^ 1);
    stream.seekp(offset);
    stream.put(byte);
  }
  std::filesystem::path Segment() const {
    return std::filesystem::directory_iterator(Directory() + "/segments")->path();
  }
  int64_t SegmentBytes() const {
    return static_cast<int64_t>(std::filesystem::file_size(Segment()));
  }
  // The session "doc" and a branch go on like a cold run, though a byte of their rows is wrong.
  static void ExpectUndamaged(const Engine& engine, const Tokens& next,
                              const std::vector<float>& cold) {
    Session session = engine.OpenSession("doc").value();
    Session branch = session.Branch().value();
    const int64_t size = session.size();
    EXPECT_EQ(session.Append(next).value(), cold);
    EXPECT_EQ(branch.Append(next).value(), cold);
    ASSERT_TRUE(branch.RewindTo(size));
    EXPECT_EQ(branch.Append(next).value(), cold);
    EXPECT_FALSE(engine.TakeStoreNotes().empty());
  }

  TempDir directory_;
};

TEST_F(StoredSessions, GoOnInALaterRunFromEveryCut) {
  const Tokens next = Text(9, 150);
  for (const size_t size : {1U, 3U, 4U, 127U, 128U, 129U, 255U, 256U, 300U}) {
    const Tokens text = Text(static_cast<uint32_t>(size), size);
    {
      const Engine engine = Open();
      Session session = engine.NewSession().value();
      ASSERT_TRUE(session.Append(text));
      ASSERT_TRUE(session.SaveAs("doc"));
    }
    const Engine engine = Open();
    Session session = engine.OpenSession("doc").value();
    ASSERT_EQ(Tokens(session.tokens().begin(), session.tokens().end()), text);
    {
      Session other = engine.NewSession().value();
      Tokens longer = text;
      longer.insert(longer.end(), next.begin(), next.end());
      const SyncReport report = other.Sync(longer).value();
      EXPECT_EQ(report.kept + report.restored, static_cast<int64_t>(size));
      EXPECT_EQ(report.computed, 150);
    }
    EXPECT_EQ(session.Append(next).value(), Cold(text, next)) << size;
  }
}

TEST_F(StoredSessions, SyncRestoresTheLongestPrefix) {
  const Tokens text = Text(1, 700);
  {
    const Engine engine = Open();
    Session session = engine.NewSession().value();
    for (const size_t end : {200U, 384U, 500U, 700U}) {
      const auto begin = static_cast<size_t>(session.size());
      ASSERT_TRUE(session.Append(std::span(text).subspan(begin, end - begin)));
      ASSERT_TRUE(session.Save());
    }
  }
  const Engine engine = Open();
  for (const auto& [size, expected] :
       {std::pair{199, 0}, {200, 200}, {383, 200}, {390, 384}, {501, 500}, {700, 700}}) {
    Session session = engine.NewSession().value();
    Tokens target(text.begin(), text.begin() + size);
    target.push_back(63);
    const SyncReport report = session.Sync(target).value();
    EXPECT_EQ(report.restored + report.kept, expected) << size;
    EXPECT_EQ(session.Append(Tokens{1}).value(), Cold(target, {1})) << size;
  }
}

TEST_F(StoredSessions, NothingIsWrittenTwice) {
  const Engine engine = Open();
  Session session = engine.NewSession().value();
  ASSERT_TRUE(session.Append(Text(1, 640)));
  ASSERT_TRUE(session.Save());
  const auto segment_bytes = [this] {
    uintmax_t bytes = 0;
    for (const auto& file : std::filesystem::directory_iterator(Directory() + "/segments")) {
      bytes += file.file_size();
    }
    return bytes;
  };
  const uintmax_t before = segment_bytes();
  Session again = engine.NewSession().value();
  ASSERT_TRUE(again.Append(Text(1, 640)));
  ASSERT_TRUE(again.Save());
  ASSERT_TRUE(session.Save());
  EXPECT_EQ(segment_bytes(), before);
}

TEST_F(StoredSessions, DamagedRowsAreNeverServed) {
  const Tokens text = Text(1, 640);
  const Tokens next = Text(2, 20);
  {
    const Engine engine = Open();
    Session session = engine.NewSession().value();
    ASSERT_TRUE(session.Append(text));
    ASSERT_TRUE(session.SaveAs("doc"));
  }
  const std::vector<float> cold = Cold(text, next);
  // A reader cannot drop what is damaged. Byte 8 is the version of the whole segment.
  const int64_t bytes = SegmentBytes();
  for (const int64_t offset :
       {int64_t{8}, bytes / 10, bytes / 4, bytes / 2, bytes * 3 / 4, bytes * 9 / 10}) {
    SCOPED_TRACE(offset);
    Flip(offset);
    ExpectUndamaged(Open({.store_read_only = true}), next, cold);
    Flip(offset);
  }
  Flip(bytes / 2);
  ExpectUndamaged(Open(), next, cold);
}

TEST_F(StoredSessions, BelongToOneModelAndPrecision) {
  {
    const Engine engine = Open();
    Session session = engine.NewSession().value();
    ASSERT_TRUE(session.Append(Text(1, 200)));
    ASSERT_TRUE(session.SaveAs("doc"));
  }
  const Engine f32 = Open({.precision = Precision::kF32});
  const auto refused = f32.OpenSession("doc");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("precision f32"), std::string::npos);
  EXPECT_NE(refused.error().message.find("precision reference"), std::string::npos);
  Session fresh = f32.NewSession().value();
  EXPECT_EQ(fresh.Sync(Text(1, 200)).value().restored, 0);
}

TEST_F(StoredSessions, OneWriterAnyReaders) {
  const Engine writer = Open();
  Session session = writer.NewSession().value();
  ASSERT_TRUE(session.Append(Text(1, 300)));
  ASSERT_TRUE(session.SaveAs("doc"));
  const auto second = TryOpen();
  ASSERT_FALSE(second);
  const Engine reader = Open({.store_read_only = true});
  Session read = reader.OpenSession("doc").value();
  EXPECT_EQ(read.size(), 300);
  EXPECT_FALSE(read.Save());
}

TEST_F(StoredSessions, AFullDiskLosesNothing) {
  const Tokens text = Text(1, 400);
  {
    const Engine engine = Open();
    Session session = engine.NewSession().value();
    ASSERT_TRUE(session.Append(text));
    ASSERT_TRUE(session.SaveAs("doc"));
  }
  const pid_t child = fork();
  if (child == 0) {
    // Files of this process cannot grow beyond what the segment has.
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1 << 16, 1 << 16};
    const Engine engine = Open();
    Session session = engine.OpenSession("doc").value();
    bool good = session.Append(Text(2, 400)).has_value();
    setrlimit(RLIMIT_FSIZE, &limit);
    good = good && !session.SaveAs("doc").has_value();
    _exit(good && session.Append(Tokens{1}).has_value() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  const Engine engine = Open();
  Session session = engine.OpenSession("doc").value();
  EXPECT_EQ(session.Append(Tokens{1}).value(), Cold(text, {1}));
}

TEST_F(StoredSessions, ANewStoreOnAFullDiskCanBeUsedLater) {
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const Engine engine = Open();
    Session session = engine.NewSession().value();
    bool good = session.Append(Text(1, 400)).has_value();
    rlimit limit{1 << 12, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &limit);
    const Status full = session.Save();
    good = good && !full && full.error().message.find("File too large") != std::string::npos;
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    _exit(good && session.Save() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  const Engine engine = Open();
  EXPECT_EQ(engine.NewSession().value().Sync(Text(1, 400)).value().restored, 400);
}

TEST_F(StoredSessions, AnInterimStateGoesWhenTheNextIsSaved) {
  const Engine engine = Open();
  const Tokens text = Text(1, 600);
  Session session = engine.NewSession().value();
  for (const size_t end : {100U, 200U, 300U}) {
    const auto begin = static_cast<size_t>(session.size());
    ASSERT_TRUE(session.Append(std::span(text).subspan(begin, end - begin)));
    ASSERT_TRUE(session.Save(/*interim=*/true));
  }
  ASSERT_TRUE(session.Save());
  size_t tails = 0;
  for (const auto& file : std::filesystem::directory_iterator(Directory() + "/tails")) {
    tails += file.path().extension() == ".tail" ? 1 : 0;
  }
  EXPECT_EQ(tails, 1);
}

TEST(WithoutAStore, SavingIsRefused) {
  const Engine engine = Engine::Open(CheckpointOf("flash-tiny").string(), {.threads = 1}).value();
  Session session = engine.NewSession().value();
  EXPECT_FALSE(session.Save());
  EXPECT_FALSE(engine.OpenSession("doc"));
}

}  // namespace
}  // namespace dsv4
