#include "tokenizer/pretokenizer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tokenizer/unicode_classes.h"

namespace dsv {
namespace {

using namespace std::string_literals;
using Pieces = std::vector<std::string>;

Pieces Split(std::string_view text) {
  Pieces pieces;
  PieceScanner scanner(text);
  for (auto piece = scanner.Next(); !piece.empty(); piece = scanner.Next()) {
    pieces.emplace_back(piece);
  }
  return pieces;
}

// The sizes of the classes in Unicode 16.0.0.
TEST(UnicodeClasses, HaveTheSizesOfUnicode16) {
  int64_t letters = 0, marks = 0, numbers = 0, punctuation = 0, symbols = 0, spaces = 0;
  for (uint32_t c = 0; c < 0x110000; ++c) {
    const uint8_t classes = unicode::ClassOf(c);
    letters += (classes & unicode::kLetter) != 0;
    marks += (classes & unicode::kMark) != 0;
    numbers += (classes & unicode::kNumber) != 0;
    punctuation += (classes & unicode::kPunctuation) != 0;
    symbols += (classes & unicode::kSymbol) != 0;
    spaces += (classes & unicode::kSpace) != 0;
    const uint8_t general = classes & 31;
    EXPECT_EQ(general & (general - 1), 0) << "two general categories for " << c;
  }
  EXPECT_EQ(letters, 141028);
  EXPECT_EQ(marks, 2501);
  EXPECT_EQ(numbers, 1911);
  EXPECT_EQ(punctuation, 855);
  EXPECT_EQ(symbols, 8514);
  EXPECT_EQ(spaces, 25);
}

// The scanner decides these two by byte instead of by class.
TEST(UnicodeClasses, AsciiIsAsTheScannerAssumes) {
  const std::string_view punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
  for (uint32_t c = 0; c < 0x80; ++c) {
    const bool expected = punctuation.find(static_cast<char>(c)) != std::string_view::npos;
    const uint8_t classes = unicode::ClassOf(c);
    EXPECT_EQ((classes & (unicode::kPunctuation | unicode::kSymbol)) != 0, expected) << c;
  }
  EXPECT_NE(unicode::ClassOf('\r') & unicode::kSpace, 0);
  EXPECT_NE(unicode::ClassOf('\n') & unicode::kSpace, 0);
}

TEST(PieceScanner, CutsNumbersIntoThrees) {
  EXPECT_EQ(Split("1234567"), (Pieces{"123", "456", "7"}));
  EXPECT_EQ(Split("a12\xC2\xBD\xC2\xBC"), (Pieces{"a", "12\xC2\xBD", "\xC2\xBC"}));
}

TEST(PieceScanner, LookAheadStopsAtThePieceOfTheStageBefore) {
  EXPECT_EQ(Split("  1"), (Pieces{"  ", "1"}));
  EXPECT_EQ(Split("  a"), (Pieces{" ", " a"}));
  EXPECT_EQ(Split("  \xE4\xB8\xAD"), (Pieces{"  ", "\xE4\xB8\xAD"}));
  EXPECT_EQ(Split("a\xE4\xB8\xADz"), (Pieces{"a", "\xE4\xB8\xAD", "z"}));
}

TEST(PieceScanner, PunctuationTakesLettersOrNewlines) {
  EXPECT_EQ(Split("a.b"), (Pieces{"a", ".b"}));
  EXPECT_EQ(Split("..b"), (Pieces{"..", "b"}));
  EXPECT_EQ(Split(".\xC3\xA9"), (Pieces{".", "\xC3\xA9"}));
  EXPECT_EQ(Split(" .;\r\n\n x"), (Pieces{" .;\r\n\n", " x"}));
  EXPECT_EQ(Split("  ."), (Pieces{" ", " ."}));
}

TEST(PieceScanner, WhiteSpaceRunsEndAtTheirLastNewline) {
  EXPECT_EQ(Split(" \n \n  x"), (Pieces{" \n \n", " ", " x"}));
  EXPECT_EQ(Split("\n\nx"), (Pieces{"\n\n", "x"}));
  EXPECT_EQ(Split("x  "), (Pieces{"x", "  "}));
  EXPECT_EQ(Split("\t."), (Pieces{"\t", "."}));
  EXPECT_EQ(Split("\xC2\xA0\xC2\xA0x"), (Pieces{"\xC2\xA0", "\xC2\xA0x"}));
}

TEST(PieceScanner, TextThatNothingMatchesIsOnePiecePerGap) {
  EXPECT_EQ(Split("\x01\x02\x03"), (Pieces{"\x01\x02\x03"}));
  EXPECT_EQ(Split("\x01\x02z"), (Pieces{"\x01", "\x02z"}));
  EXPECT_EQ(Split("\x01\x02 .\x01"), (Pieces{"\x01\x02", " .", "\x01"}));
  EXPECT_EQ(Split("a\0\0 b"s), (Pieces{"a", "\0\0"s, " b"}));
}

TEST(PieceScanner, MarksBelongToWords) {
  EXPECT_EQ(Split("e\xCC\x81t"), (Pieces{"e\xCC\x81t"}));
  EXPECT_EQ(Split(" \xCC\x81"), (Pieces{" \xCC\x81"}));
  EXPECT_EQ(Split("\n\xCC\x81"), (Pieces{"\n", "\xCC\x81"}));
}

}  // namespace
}  // namespace dsv
