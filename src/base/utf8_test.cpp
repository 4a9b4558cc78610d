#include "base/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace dsv {
namespace {

using namespace std::string_literals;

TEST(FindInvalidUtf8, AcceptsTheEdgesOfEachLength) {
  EXPECT_FALSE(
      FindInvalidUtf8("\0\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF"
                      "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"s));
}

TEST(FindInvalidUtf8, NamesTheByteWhereTheSequenceStarts) {
  const std::string prefix = "twelve bytes";
  const std::string bad[] = {"\x80",
                             "\xC0\x80",
                             "\xC1\xBF",
                             "\xE0\x9F\xBF",
                             "\xED\xA0\x80",
                             "\xF0\x8F\xBF\xBF",
                             "\xF4\x90\x80\x80",
                             "\xF5\x80\x80\x80",
                             "\xFF",
                             "\xC2",
                             "\xE4\xB8",
                             "\xF0\x90\x80",
                             "\xE4\x41\x41",
                             "\xE4\xB8\x41"};
  for (const std::string& sequence : bad) {
    EXPECT_EQ(FindInvalidUtf8(sequence), 0u);
    EXPECT_EQ(FindInvalidUtf8(prefix + sequence), prefix.size());
    EXPECT_EQ(FindInvalidUtf8("\xE4\xB8\xAD" + sequence + prefix), 3u);
  }
}

// Unicode 16.0, tables 3-8 to 3-11: one U+FFFD for each maximal subpart.
TEST(RepairUtf8, ReplacesMaximalSubparts) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(RepairUtf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(RepairUtf8("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(RepairUtf8("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"),
            r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(RepairUtf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), r + r + r + r + "A");
}

TEST(Utf8Repairer, GivesTheSameTextForEveryCut) {
  const std::string bytes = "a\xE4\xB8\xAD\xF0\x9F\x98\x80\xF0\x9F\x98\x41\xE1\x80\xE2\x80";
  const std::string expected = RepairUtf8(bytes);
  for (size_t step = 1; step <= bytes.size(); ++step) {
    Utf8Repairer repairer;
    std::string text;
    for (size_t i = 0; i < bytes.size(); i += step) {
      repairer.Feed(std::string_view(bytes).substr(i, step), text);
      EXPECT_FALSE(FindInvalidUtf8(text));
      EXPECT_EQ(expected.substr(0, text.size()), text);
    }
    repairer.Finish(text);
    EXPECT_EQ(text, expected);
  }
}

TEST(Utf8Repairer, WaitsUntilTheCharacterCannotBeCompleted) {
  Utf8Repairer repairer;
  std::string text;
  repairer.Feed("\xF0\x9F\x98", text);
  EXPECT_EQ(text, "");
  repairer.Feed("\x80", text);
  EXPECT_EQ(text, "\xF0\x9F\x98\x80");
  text.clear();
  repairer.Feed("\xE4", text);
  EXPECT_EQ(text, "");
  repairer.Feed("x", text);
  EXPECT_EQ(text, "\xEF\xBF\xBDx");
  text.clear();
  repairer.Feed("\xFF", text);
  EXPECT_EQ(text, "\xEF\xBF\xBD");
}

}  // namespace
}  // namespace dsv
