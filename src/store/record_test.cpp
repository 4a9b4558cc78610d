#include "store/record.h"

#include <gtest/gtest.h>

#include <set>

#include "store/store_test_util.h"

namespace dsv {
namespace {

using testing::MakePayload;
using testing::MakeTokens;
using testing::Views;

TEST(ChainKey, DependsOnEverythingBeforeIt) {
  const auto a = MakeTokens(1);
  auto b = a;
  b.back() += 1;
  const ChainKey root = RootKey("model");
  std::set<ChainKey> keys = {root, RootKey("model2"), RootKey("")};
  keys.insert(NextKey(root, a));
  keys.insert(NextKey(root, b));
  keys.insert(NextKey(RootKey("model2"), a));
  keys.insert(NextKey(NextKey(root, a), a));
  keys.insert(TailKey(root, {}));
  keys.insert(TailKey(root, std::span(a).first(127)));
  keys.insert(TailKey(root, std::span(a).first(1)));
  EXPECT_EQ(keys.size(), 10u);
  EXPECT_EQ(NextKey(root, a), NextKey(RootKey("model"), MakeTokens(1)));
}

// Stores on disk depend on these values.
TEST(ChainKey, NeverChanges) {
  std::vector<int32_t> tokens(kBlockTokens);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i * 1000);
  const ChainKey root = RootKey("fingerprint reference 1");
  EXPECT_EQ(Hex(root), "6e99bb9779361f9ff9c93b9b7a758d14");
  EXPECT_EQ(Hex(NextKey(root, tokens)), "0075f57c5d0443b39cf264be14c2db8e");
  EXPECT_EQ(Hex(TailKey(root, std::span(tokens).first(5))), "5853b73e14c8e8a1179d0f182ad8cc1c");
}

Record MakeRecord(uint64_t seed) {
  Record record{{}, RootKey("model"), 3, MakeTokens(seed), {}};
  record.key = NextKey(record.parent, record.tokens);
  record.parts = DescribeParts(record.key, Views(MakePayload(seed)));
  return record;
}

TEST(Record, HeaderRoundTrip) {
  const Record record = MakeRecord(1);
  const auto bytes = EncodeRecordHeader(record, 77);
  EXPECT_EQ(bytes.size(), record.HeaderBytes());
  EXPECT_EQ(bytes.size() % kRecordAlignment, 0u);
  EXPECT_EQ(record.Bytes() % kRecordAlignment, 0u);
  EXPECT_TRUE(LooksLikeRecord(bytes));
  const auto parsed = ParseRecordHeader(bytes, 77);
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->key, record.key);
  EXPECT_EQ(parsed->parent, record.parent);
  EXPECT_EQ(parsed->depth, 3);
  EXPECT_EQ(parsed->tokens, record.tokens);
  EXPECT_EQ(parsed->parts, record.parts);
}

TEST(Record, RefusesEveryFlippedBitOfItsHeader) {
  const auto bytes = EncodeRecordHeader(MakeRecord(2), 77);
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    auto damaged = bytes;
    damaged[bit / 8] ^= std::byte{1} << (bit % 8);
    EXPECT_FALSE(ParseRecordHeader(damaged, 77)) << bit;
  }
  EXPECT_FALSE(ParseRecordHeader(bytes, 78)) << "of another file";
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(ParseRecordHeader(std::span(bytes).first(size), 77)) << size;
  }
}

TEST(Record, ChecksumsAreBoundToKeyAndPlace) {
  const auto payload = MakePayload(3);
  const ChainKey key = RootKey("a");
  EXPECT_NE(PartChecksum(key, 0, payload[0]), PartChecksum(key, 1, payload[0]));
  EXPECT_NE(PartChecksum(key, 0, payload[0]), PartChecksum(RootKey("b"), 0, payload[0]));
}

TEST(FileHeader, NamesWhatIsWrong) {
  const auto error = [](std::span<const std::byte> bytes, StoreFileKind kind) {
    const auto id = ParseFileHeader(bytes, kind, "FILE");
    return id ? "no error" : id.error().message;
  };
  auto header = EncodeFileHeader(StoreFileKind::kSegment, 5);
  EXPECT_EQ(*ParseFileHeader(header, StoreFileKind::kSegment, "FILE"), 5u);
  EXPECT_EQ(error(header, StoreFileKind::kTail), "FILE: file kind 1, expected 2");
  EXPECT_EQ(error(std::span(header).first(63), StoreFileKind::kSegment),
            "FILE: 63 bytes, expected at least 64");
  header[20] ^= std::byte{1};
  EXPECT_EQ(error(header, StoreFileKind::kSegment), "FILE: the checksum of its header is wrong");
  header[8] = std::byte{9};
  EXPECT_EQ(error(header, StoreFileKind::kSegment), "FILE: format version 9, expected 1");
  header[0] = std::byte{0};
  EXPECT_EQ(error(header, StoreFileKind::kSegment), "FILE: no file of a prefix store");
}

}  // namespace
}  // namespace dsv
