// The tokenizer against the reference cases of tests/vectors/tokenizer.
#include "tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <ctime>
#include <fstream>
#include <random>

#include "base/json.h"
#include "sha256.h"

namespace dsv {
namespace {

const std::string kVectors = DSV_TEST_DATA "/tokenizer/";

#if defined(NDEBUG)
constexpr double kRunLimitSeconds = 1.0;
#else
constexpr double kRunLimitSeconds = 30.0;  // unoptimised and with sanitizers: still not quadratic
#endif

Tokenizer LoadOrDie(const std::string& name) {
  auto tokenizer = Tokenizer::Load(kVectors + name);
  if (!tokenizer) {
    ADD_FAILURE() << tokenizer.error().message;
    std::exit(1);
  }
  return *std::move(tokenizer);
}

const Tokenizer& Full() {
  static const Tokenizer tokenizer = LoadOrDie("tokenizer.json");
  return tokenizer;
}

std::vector<Json> ReadCases(const std::string& name) {
  std::vector<Json> cases;
  std::ifstream in(kVectors + name);
  for (std::string line; std::getline(in, line);) {
    auto value = ParseJson(line, name);
    EXPECT_TRUE(value.has_value());
    if (value) cases.push_back(*std::move(value));
  }
  return cases;
}

std::vector<int32_t> Ids(const Json& test) { return test.at("ids").get<std::vector<int32_t>>(); }

std::string FromHex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

void CheckEncodeCases(const Tokenizer& tokenizer, const std::string& name, size_t count) {
  const std::vector<Json> cases = ReadCases(name);
  ASSERT_EQ(cases.size(), count);
  for (const Json& test : cases) {
    const auto text = test.at("text").get<std::string>();
    const bool match_added = test.value("match_added", true);
    const auto ids = tokenizer.Encode(text, {.match_added = match_added});
    ASSERT_TRUE(ids.has_value()) << ids.error().message;
    EXPECT_EQ(*ids, Ids(test)) << test.dump();
    EXPECT_EQ(tokenizer.Decode(*ids).value_or("refused"), text) << test.dump();
    for (const int32_t id : *ids) EXPECT_TRUE(match_added || !tokenizer.IsAdded(id)) << test.dump();
  }
}

TEST(Tokenizer, EncodesTheReferenceCases) { CheckEncodeCases(Full(), "cases.jsonl", 721); }

TEST(Tokenizer, EncodesTheReferenceCasesOfASmallVocabulary) {
  CheckEncodeCases(LoadOrDie("small_tokenizer.json"), "small_cases.jsonl", 51);
}

TEST(Tokenizer, DecodesTheReferenceCases) {
  const std::vector<Json> cases = ReadCases("decode_cases.jsonl");
  ASSERT_EQ(cases.size(), 150u);
  for (const Json& test : cases) {
    const DecodeOptions options{.skip_special = test.value("skip_special", false)};
    const auto bytes = Full().Decode(Ids(test), options);
    ASSERT_TRUE(bytes.has_value()) << bytes.error().message;
    EXPECT_EQ(*bytes, FromHex(test.at("hex").get<std::string>())) << test.dump();
    EXPECT_EQ(FindInvalidUtf8(*bytes).has_value(), !test.contains("text"));
    if (test.contains("text")) {
      EXPECT_EQ(*bytes, test.at("text").get<std::string>());
    }
  }
}

// Byte concatenation of random groups, and text from single ids, equal the decoding of the whole.
TEST(Tokenizer, StreamsTheReferenceCases) {
  std::mt19937_64 random(11);
  std::vector<Json> cases = ReadCases("decode_cases.jsonl");
  for (Json& test : ReadCases("cases.jsonl")) cases.push_back(std::move(test));
  for (const Json& test : cases) {
    const std::vector<int32_t> ids = Ids(test);
    const DecodeOptions options{.skip_special = test.value("skip_special", false)};
    const std::string whole = Full().Decode(ids, options).value_or("refused");

    std::string grouped;
    for (size_t at = 0, size = 0; at < ids.size(); at += size) {
      size = std::min<size_t>(1 + random() % 5, ids.size() - at);
      grouped += Full().Decode(std::span(ids).subspan(at, size), options).value_or("refused");
    }
    EXPECT_EQ(grouped, whole);

    StreamDecoder decoder(Full(), options);
    std::string text;
    for (const int32_t id : ids) {
      text += decoder.Feed(id).value_or("refused");
      EXPECT_FALSE(FindInvalidUtf8(text)) << test.dump();
    }
    text += decoder.Finish();
    EXPECT_EQ(text, RepairUtf8(whole)) << test.dump();
  }
}

TEST(Tokenizer, StreamNeverSplitsACharacter) {
  StreamDecoder decoder(Full());
  const std::string emoji = "\xF0\x9F\x98\x80";
  std::string text;
  for (const char& c : emoji) {
    const auto id = Full().FindToken(std::string_view(&c, 1));
    ASSERT_TRUE(id.has_value());
    EXPECT_EQ(text, "");
    text += decoder.Feed(*id).value_or("refused");
  }
  EXPECT_EQ(text, emoji);
}

// The digest published with the file: (length as 32-bit little-endian, bytes) of every id.
TEST(Tokenizer, TokenTableHasThePublishedDigest) {
  ASSERT_EQ(testing::Sha256("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  ASSERT_EQ(Full().vocab_size(), 129280);
  std::string table;
  int64_t not_utf8 = 0;
  for (int64_t id = 0; id < Full().vocab_size(); ++id) {
    const auto bytes = Full().TokenBytes(id);
    ASSERT_TRUE(bytes.has_value()) << bytes.error().message;
    for (int shift = 0; shift < 32; shift += 8) table += static_cast<char>(bytes->size() >> shift);
    table += *bytes;
    not_utf8 += FindInvalidUtf8(*bytes).has_value();
  }
  EXPECT_EQ(not_utf8, 1470);
  EXPECT_EQ(testing::Sha256(table),
            "c9403804cfc41621b0e57d25a0b1c5059e7da7fc5b10810a2b33cdb9327a494a");
}

TEST(Tokenizer, KnowsAddedAndSpecialTokens) {
  EXPECT_EQ(Full().FindAdded("<think>"), 128821);
  EXPECT_EQ(Full().FindAdded("<think"), std::nullopt);
  EXPECT_EQ(Full().FindToken("<think>"), std::nullopt);
  EXPECT_EQ(Full().FindToken(" France"), 8760);
  int64_t added = 0, special = 0;
  for (int64_t id = 0; id < Full().vocab_size(); ++id) {
    added += Full().IsAdded(id);
    special += Full().IsSpecial(id);
  }
  EXPECT_EQ(added, 1283);
  EXPECT_EQ(special, 1230);
  EXPECT_FALSE(Full().IsAdded(-1) || Full().IsAdded(129280));
}

TEST(Tokenizer, RefusesBadInputByName) {
  const auto text = Full().Encode("ab\xFFzz");
  ASSERT_FALSE(text.has_value());
  EXPECT_NE(text.error().message.find("byte 2"), std::string::npos);
  for (const int32_t id : {-1, 129280, INT32_MAX, INT32_MIN}) {
    const std::vector<int32_t> ids = {671, id};
    const auto bytes = Full().Decode(ids);
    ASSERT_FALSE(bytes.has_value());
    EXPECT_EQ(bytes.error().message, fmt::format("token id {}: expected 0..129279", id));
    StreamDecoder decoder(Full());
    EXPECT_FALSE(decoder.Feed(id).has_value());
  }
  EXPECT_FALSE(Tokenizer::Load("/nonexistent/tokenizer.json").has_value());
}

// A megabyte of one kind of character is encoded in linear time, also where it is one single piece.
TEST(Tokenizer, LongRunsTakeLinearTime) {
  const std::string units[] = {"a",
                               "Z",
                               " ",
                               "\n",
                               "\r\n",
                               "\t",
                               "7",
                               "!",
                               "=",
                               "\x01",
                               "\xE4\xB8\xAD",
                               "\xE3\x81\x82",
                               "<",
                               " a",
                               "ab",
                               "\xEF\xBD\x9C",
                               " \n",
                               "\xC3\xA9",
                               ".a",
                               "<\xEF\xBD\x9C",
                               "\xF0\x9F\x98\x80",
                               "\xCC\x81",
                               "\xEF\xBC\x8C",
                               "\xC2\xA0"};
  for (const std::string& unit : units) {
    std::string text;
    while (text.size() < 1'000'000) text += unit;
    const std::clock_t start = std::clock();  // processor time: other programs do not count
    const auto ids = Full().Encode(text);
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    ASSERT_TRUE(ids.has_value());
    EXPECT_LT(seconds, kRunLimitSeconds) << "a run of \"" << unit << "\"";
    EXPECT_EQ(Full().Decode(*ids).value_or("refused"), text);
  }
}

}  // namespace
}  // namespace dsv
