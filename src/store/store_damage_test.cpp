// Files that were cut, flipped, lost or written by others: noticed, dropped, never served.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "store/store_test_util.h"

namespace dsv {
namespace {

namespace fs = std::filesystem;
using testing::Chain;
using testing::CountFiles;
using testing::CountHeld;
using testing::MakePayload;
using testing::MakeTokens;
using testing::OpenError;
using testing::OpenStore;
using testing::PutChain;
using testing::StoreWithChain;
using testing::TempDir;
using testing::Views;

constexpr int64_t kRecordBytes = 640 + 5632;  // of the blocks here: header, and 5,600 bytes aligned
constexpr int64_t kFirst = 64;

std::string ReadAll(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void Flip(const fs::path& path, int64_t offset) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekg(offset);
  const int byte = file.get();
  file.seekp(offset);
  file.put(static_cast<char>(byte ^ 0x10));
}

fs::path Segment(const StoreWithChain& test, const char* name = "000001.seg") {
  return test.directory / "segments" / name;
}

fs::path OnlyFile(const fs::path& directory) { return fs::directory_iterator(directory)->path(); }

// How many blocks are served, the first damaged one ending it as a reader would.
size_t CountServed(PrefixStore& store, const Chain& chain) {
  size_t count = 0;
  for (const ChainKey& key : chain.Keys()) {
    const auto block = store.Get(key);
    if (!block || !*block) break;
    bool is_good = true;
    for (size_t i = 0; i < (*block)->part_count(); ++i) is_good = is_good && (*block)->Verify(i);
    if (!is_good) {
      store.MarkDamaged(key, "wrong checksum");
      break;
    }
    ++count;
  }
  return count;
}

TEST(Damage, AFlippedPayloadByteIsNeverServed) {
  for (const int64_t at : {640, 1239, 1240, 640 + 5599}) {
    StoreWithChain test(5);
    Flip(Segment(test), kFirst + 2 * kRecordBytes + at);
    EXPECT_EQ(CountServed(*test.store, test.chain), 2u) << at;
    EXPECT_FALSE(test.store->Contains(test.chain.Keys()[2]));
    EXPECT_FALSE(test.store->Contains(test.chain.Keys()[4])) << "what hangs below goes too";
    const auto notes = test.store->TakeNotes();
    ASSERT_EQ(notes.size(), 1u);
    EXPECT_NE(notes[0].find("wrong checksum; dropped with the 2 after it"), std::string::npos);
    test.Reopen();
    EXPECT_EQ(CountHeld(*test.store, test.chain), 2u);
    PutChain(*test.store, test.chain);
    ASSERT_TRUE(test.store->Flush());
    EXPECT_EQ(CountHeld(*test.store, test.chain), 5u) << "it can be put again";
  }
}

TEST(Damage, VerifyFindsEveryFlippedByte) {
  StoreWithChain test(3);
  test.Close();
  const TempDir copies;
  // The regions of the second record: each field of the header, part table, tokens, padding that
  // the header's checksum covers, and the payload at a coarser step.
  std::vector<int64_t> places;
  for (int64_t at = 0; at < 640; at += at < 64 ? 1 : 7) places.push_back(at);
  for (int64_t at = 640; at < 640 + 5600; at += 311) places.push_back(at);
  places.push_back(640 + 5599);
  for (const int64_t at : places) {
    const fs::path copy = copies / std::to_string(at);
    fs::copy(test.directory.path(), copy, fs::copy_options::recursive);
    Flip(copy / "segments/000001.seg", kFirst + kRecordBytes + at);
    const auto report = OpenStore(copy, {.read_only = true})->Verify();
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->blocks, 3);
    EXPECT_EQ(report->problems.size(), 1u) << at;
    fs::remove_all(copy);
  }
}

TEST(Damage, VerifyDropsWhatItFinds) {
  StoreWithChain test(4);
  ASSERT_TRUE(test.store->PutTail(test.root, MakeTokens(1, 5), Views(MakePayload(1))));
  ASSERT_TRUE(test.store->PutTail(test.root, MakeTokens(2, 5), Views(MakePayload(2))));
  EXPECT_TRUE(test.store->Verify()->problems.empty());
  Flip(OnlyFile(test.directory / "tails"), 3000);
  Flip(Segment(test), kFirst + 2 * kRecordBytes + 5);
  int64_t last = 0;
  const auto report = test.store->Verify([&](int64_t done, int64_t total) {
    EXPECT_LE(done, total);
    last = done;
  });
  ASSERT_TRUE(report);
  EXPECT_EQ(report->problems.size(), 2u);
  EXPECT_EQ(last, report->bytes);
  EXPECT_EQ(CountHeld(*test.store, test.chain), 2u);
  EXPECT_EQ(test.store->Stat()->tails, 1);
  test.Reopen();
  EXPECT_TRUE(test.store->Verify()->problems.empty());
  EXPECT_EQ(CountFiles(test.directory / "tails"), 1u);
}

TEST(Damage, AFlippedTailFallsBackToAShorterOne) {
  const auto rest = MakeTokens(9, 60);
  StoreWithChain test(1);
  const ChainKey parent = test.chain.Keys()[0];
  ASSERT_TRUE(test.store->PutTail(parent, rest, Views(MakePayload(2))));
  const fs::path longest = OnlyFile(test.directory / "tails").filename();
  ASSERT_TRUE(test.store->PutTail(parent, std::span(rest).first(3), Views(MakePayload(1))));
  test.Close();
  const TempDir copies;
  for (int64_t at = 0; at < 64 + 384 + 5600; at += at < 450 ? 5 : 400) {
    const fs::path copy = copies / std::to_string(at);
    fs::copy(test.directory.path(), copy, fs::copy_options::recursive);
    Flip(copy / "tails" / longest, at);
    const auto store = OpenStore(copy, {.read_only = true});
    const auto tail = store->FindTail(parent, rest);
    ASSERT_TRUE(tail && *tail) << at;
    EXPECT_EQ((*tail)->position, 131) << at;
    EXPECT_EQ(store->TakeNotes().size(), 1u);
    fs::remove_all(copy);
  }
}

TEST(Damage, TailsThatAreCutOrLost) {
  StoreWithChain test(1);
  ASSERT_TRUE(test.store->PutTail(test.root, MakeTokens(1, 5), Views(MakePayload(1))));
  const fs::path file = OnlyFile(test.directory / "tails");
  const auto size = fs::file_size(file);
  for (const uintmax_t keep : {uintmax_t{0}, uintmax_t{63}, uintmax_t{100}, size - 1}) {
    fs::resize_file(file, keep);
    EXPECT_FALSE(test.store->FindTail(test.root, MakeTokens(1, 9))->has_value()) << keep;
    EXPECT_EQ(*test.store->PutTail(test.root, MakeTokens(1, 5), Views(MakePayload(1))),
              PutOutcome::kWritten);
  }
  fs::remove(file);
  test.Reopen();
  EXPECT_EQ(test.store->TakeNotes().size(), 1u);
  EXPECT_EQ(test.store->Stat()->tails, 0);
}

// A store as a kill would leave it: what follows `keep` bytes of the segment is lost or never came.
void CopyWithSegmentOf(const StoreWithChain& test, const fs::path& copy, uintmax_t keep) {
  fs::copy(test.directory.path(), copy, fs::copy_options::recursive);
  fs::resize_file(copy / "segments/000001.seg", keep);
}

TEST(Damage, ASegmentCutAnywhereKeepsWhatIsWhole) {
  StoreWithChain test(3);
  test.Close();
  const TempDir copies;
  const int64_t last = kFirst + 2 * kRecordBytes;
  for (int64_t cut = 0; cut < kRecordBytes; cut += cut < 700 ? 100 : 1300) {
    const fs::path copy = copies / std::to_string(cut);
    CopyWithSegmentOf(test, copy, static_cast<uintmax_t>(last + cut));
    const auto store = OpenStore(copy);
    EXPECT_EQ(store->TakeNotes().size(), 1u);
    EXPECT_EQ(CountHeld(*store, test.chain), 2u) << cut;
    PutChain(*store, test.chain);
    ASSERT_TRUE(store->Flush());
    EXPECT_EQ(CountHeld(*store, test.chain), 3u) << cut;
    EXPECT_TRUE(store->Verify()->problems.empty());
    fs::remove_all(copy);
  }
}

TEST(Damage, ATornEndBeyondTheIndexIsCutOff) {
  StoreWithChain test(3);
  test.Close();
  const std::string whole = ReadAll(Segment(test));
  for (size_t extra = 1; extra < kRecordBytes; extra += 1501) {
    // What a later record would begin with.
    std::ofstream(Segment(test), std::ios::binary | std::ios::app)
        << whole.substr(static_cast<size_t>(kFirst), extra);
    test.Reopen();
    EXPECT_TRUE(test.store->TakeNotes().empty());
    EXPECT_EQ(CountHeld(*test.store, test.chain), 3u);
    test.Close();
    EXPECT_EQ(fs::file_size(Segment(test)), whole.size());
  }
}

TEST(Damage, FilesWithoutAnEntryAreRemoved) {
  StoreWithChain test(1);
  test.Close();
  for (const char* name : {"segments/000007.seg", "tails/0123.tail", "tails/45.tail.partial"}) {
    std::ofstream(test.directory / name) << "left over";
  }
  test.Reopen();
  EXPECT_EQ(CountFiles(test.directory / "segments"), 1u);
  EXPECT_EQ(CountFiles(test.directory / "tails"), 0u);
  EXPECT_EQ(CountHeld(*test.store, test.chain), 1u);
}

TEST(Damage, ALostSegmentTakesItsBlocks) {
  StoreWithChain test(12, {.segment_bytes = 20'000});
  test.Close();
  fs::remove(Segment(test, "000002.seg"));
  test.Reopen({.segment_bytes = 20'000});
  EXPECT_EQ(CountHeld(*test.store, test.chain), 4u);
  EXPECT_EQ(test.store->TakeNotes().size(), 1u) << "the blocks after the first lost one hang on it";
  PutChain(*test.store, test.chain);
  ASSERT_TRUE(test.store->Flush());
  EXPECT_EQ(CountHeld(*test.store, test.chain), 12u);
}

TEST(Damage, AForeignSegmentIsNotServed) {
  StoreWithChain test(2);
  test.Close();
  Flip(Segment(test), 8);  // the version
  test.Reopen();
  EXPECT_EQ(CountHeld(*test.store, test.chain), 0u);
  const auto notes = test.store->TakeNotes();
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes[0].find("000001.seg: format version 17, expected 1"), std::string::npos);
  PutChain(*test.store, test.chain);
  ASSERT_TRUE(test.store->Flush());
  EXPECT_EQ(CountHeld(*test.store, test.chain), 2u) << "in a new segment";
}

TEST(Index, OfAnotherVersionIsRefused) {
  StoreWithChain test(1);
  test.Close();
  Flip(test.directory / "index.sqlite", 63);  // the low byte of user_version
  for (const bool read_only : {false, true}) {
    EXPECT_EQ(OpenError(test.directory.path(), {.read_only = read_only}),
              (test.directory / "index.sqlite").string() + ": format version 17, expected 1");
  }
  // A rebuild would leave out all that a newer program has written, and then remove it.
  const auto rebuilt = RebuildStore(test.directory.path());
  ASSERT_FALSE(rebuilt);
  EXPECT_EQ(rebuilt.error().message,
            (test.directory / "index.sqlite").string() + ": format version 17, expected at most 1");
  Flip(test.directory / "index.sqlite", 63);
  test.Reopen();
  EXPECT_EQ(CountHeld(*test.store, test.chain), 1u);
}

TEST(Index, DamageIsReportedWithWhatToDo) {
  StoreWithChain test(3);
  test.Close();
  const fs::path index = test.directory / "index.sqlite";
  std::ofstream(index, std::ios::binary) << std::string(9000, 'x');
  EXPECT_EQ(OpenError(test.directory.path()),
            index.string() +
                ": damaged (file is not a database); `dsv4 store gc --rebuild` makes a "
                "new one from the data");
  fs::remove(index);
  EXPECT_EQ(OpenError(test.directory.path()),
            index.string() +
                ": missing beside 1 segments; `dsv4 store gc --rebuild` makes a new "
                "one from them");
  EXPECT_EQ(CountFiles(test.directory / "segments"), 1u);
}

// Bytes of an index flipped anywhere: an error or fewer blocks, never a wrong one.
TEST(Index, FlippedBytesNeverServeAWrongBlock) {
  StoreWithChain test(8);
  test.Close();
  const fs::path index = test.directory / "index.sqlite";
  const std::string good = ReadAll(index);
  for (size_t at = 100; at < good.size(); at += 97) {
    std::ofstream(index, std::ios::binary) << good;
    Flip(index, static_cast<int64_t>(at));
    const auto store = PrefixStore::Open(test.directory.path(), {.read_only = true});
    if (!store) continue;
    const auto keys = test.chain.Keys();
    for (size_t i = 0; i < keys.size(); ++i) {
      const auto block = (*store)->Get(keys[i]);
      if (!block || !*block) continue;
      const auto expected = MakePayload(test.chain.seed + i);
      for (size_t part = 0; part < (*block)->part_count(); ++part) {
        if (!(*block)->Verify(part)) continue;
        const auto found = (*block)->part(part);
        ASSERT_TRUE(part < expected.size() && std::ranges::equal(found, expected[part])) << at;
      }
    }
  }
}

TEST(Rebuild, FindsEverythingAgain) {
  StoreWithChain test(12, {.segment_bytes = 20'000});
  const Chain branch{test.chain.Keys()[5], 100, 3};
  PutChain(*test.store, branch);
  ASSERT_TRUE(test.store->PutTail(branch.Keys()[2], MakeTokens(1, 5), Views(MakePayload(1))));
  ASSERT_TRUE(test.store->PutName({"book", "model", test.root, 7, MakeTokens(1, 7)}));
  test.Close();
  const auto report = RebuildStore(test.directory.path());
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->blocks, 15);
  EXPECT_EQ(report->tails, 1);
  EXPECT_TRUE(report->has_names);
  test.Reopen();
  EXPECT_TRUE(test.store->TakeNotes().empty());
  EXPECT_EQ(CountHeld(*test.store, test.chain), 12u);
  EXPECT_EQ(CountHeld(*test.store, branch), 3u);
  EXPECT_TRUE(test.store->FindTail(branch.Keys()[2], MakeTokens(1, 9))->has_value());
  EXPECT_EQ((*test.store->GetName("book"))->tokens, MakeTokens(1, 7));
  EXPECT_EQ(*test.store->AddRoot("model"), test.root);
  EXPECT_EQ((*test.store->ListChains())[0].identity, "model");
}

TEST(Rebuild, LeavesOutWhatDoesNotVerify) {
  StoreWithChain test(6);
  ASSERT_TRUE(test.store->PutTail(test.root, MakeTokens(1, 5), Views(MakePayload(1))));
  test.Close();
  Flip(OnlyFile(test.directory / "tails"), 3000);
  Flip(Segment(test), kFirst + 3 * kRecordBytes + 10);  // a header
  std::ofstream(Segment(test), std::ios::app) << "torn";
  fs::remove(test.directory / "index.sqlite");
  const auto report = RebuildStore(test.directory.path());
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->blocks, 3);
  EXPECT_EQ(report->tails, 0);
  EXPECT_FALSE(report->has_names);
  test.Reopen();
  EXPECT_EQ(CountHeld(*test.store, test.chain), 3u);
  PutChain(*test.store, test.chain);
  ASSERT_TRUE(test.store->Flush());
  EXPECT_EQ(CountHeld(*test.store, test.chain), 6u);
  EXPECT_TRUE(test.store->Verify()->problems.empty());
}

}  // namespace
}  // namespace dsv
