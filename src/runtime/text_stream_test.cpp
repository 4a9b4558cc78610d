// Stop strings over every cut of a text into tokens.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "dsv4/dsv4.h"

namespace dsv4 {
namespace {

class TextStreamTest : public ::testing::Test {
 protected:
  // The tokens of the pieces, each encoded alone.
  std::vector<TokenId> Encode(const std::vector<std::string>& pieces) const {
    std::vector<TokenId> tokens;
    for (const std::string& piece : pieces) {
      const auto part = tokenizer_.Encode(piece).value();
      tokens.insert(tokens.end(), part.begin(), part.end());
    }
    return tokens;
  }

  // What a stream gives out for the tokens; checks that nothing follows a stop.
  std::string Stream(const std::vector<TokenId>& tokens, const std::vector<std::string>& stops,
                     bool& stopped) const {
    TextStream stream(tokenizer_, stops);
    std::string text;
    for (const TokenId token : tokens) {
      const bool before = stream.stopped();
      const std::string piece = stream.Feed(token).value();
      EXPECT_TRUE(!before || piece.empty());
      text += piece;
    }
    text += stream.Finish();
    stopped = stream.stopped();
    return text;
  }

  // The text before the stop string that is complete first; of two that end together the longer.
  static std::string Expected(const std::string& text, const std::vector<std::string>& stops,
                              bool& stopped) {
    for (size_t end = 1; end <= text.size(); ++end) {
      size_t longest = 0;
      for (const std::string& stop : stops) {
        if (!stop.empty() && std::string_view(text).substr(0, end).ends_with(stop)) {
          longest = std::max(longest, stop.size());
        }
      }
      if (longest == 0) continue;
      stopped = true;
      return text.substr(0, end - longest);
    }
    stopped = false;
    return text;
  }

  void CheckEveryCut(const std::string& text, const std::vector<std::string>& stops) const {
    bool expected_stop = false;
    const std::string expected = Expected(text, stops, expected_stop);
    for (size_t i = 0; i <= text.size(); ++i) {
      for (size_t j = i; j <= text.size(); ++j) {
        bool stopped = false;
        const auto tokens = Encode({text.substr(0, i), text.substr(i, j - i), text.substr(j)});
        EXPECT_EQ(Stream(tokens, stops, stopped), expected) << text << " cut at " << i << " " << j;
        EXPECT_EQ(stopped, expected_stop) << text;
      }
    }
  }

  Tokenizer tokenizer_ = Tokenizer::Load(DSV_SOURCE_DIR "/models/needle-text").value();
};

TEST_F(TextStreamTest, EveryCut) {
  CheckEveryCut("the secret STOP number", {"STOP"});
  CheckEveryCut("STOP", {"STOP"});
  CheckEveryCut("no stop here, only STO", {"STOP"});
  CheckEveryCut("aaab aab", {"aab"});
  CheckEveryCut("ababac ababa", {"abac"});
  CheckEveryCut("one\n\ntwo\n\n", {"\n\n"});
  CheckEveryCut("nothing to stop for", {});
  CheckEveryCut("", {"x"});
}

TEST_F(TextStreamTest, SeveralStopStrings) {
  CheckEveryCut("xx abcd yy", {"abcd", "bc"});  // bc is complete before abcd
  CheckEveryCut("xx abcd yy", {"bcd", "abcd"});
  CheckEveryCut("xx abce yy", {"abcd", "ce", ""});
  CheckEveryCut("User: hello Assistant:", {"Assistant:", "User:", "hell"});
}

TEST_F(TextStreamTest, StreamsWhatIsCertainAtOnce) {
  TextStream stream(tokenizer_, {"END"});
  std::string text;
  for (const TokenId token : Encode({"a", "b", "E", "N"})) text += stream.Feed(token).value();
  EXPECT_EQ(text, "ab");  // EN may still become END
  for (const TokenId token : Encode({"x"})) text += stream.Feed(token).value();
  EXPECT_EQ(text, "abENx");
  for (const TokenId token : Encode({"E"})) text += stream.Feed(token).value();
  EXPECT_EQ(text, "abENx");
  EXPECT_EQ(stream.Finish(), "E");
  EXPECT_FALSE(stream.stopped());
}

TEST_F(TextStreamTest, NeverSplitsACharacter) {
  // Byte-level tokens: the three bytes of a Euro sign arrive one by one.
  const std::string text = "5 \xE2\x82\xAC!";
  TextStream stream(tokenizer_, {});
  std::string all;
  for (const TokenId token : Encode({text})) {
    const std::string piece = stream.Feed(token).value();
    EXPECT_FALSE(dsv::FindInvalidUtf8(piece));
    EXPECT_TRUE(piece.empty() || piece.back() != '\xE2');
    all += piece;
  }
  EXPECT_EQ(all + stream.Finish(), text);
}

TEST_F(TextStreamTest, RefusesUnknownTokens) {
  TextStream stream(tokenizer_);
  EXPECT_FALSE(stream.Feed(1 << 20));
  EXPECT_FALSE(stream.Feed(-1));
  EXPECT_EQ(stream.Feed(Encode({"a"}).front()).value(), "a");
}

}  // namespace
}  // namespace dsv4
