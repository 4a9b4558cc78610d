// The pre-tokenizer of the family (spec 8.2): cuts text into the pieces inside which merges apply.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace dsv {

// The three regular expressions that PieceScanner implements, as tokenizer.json writes them.
extern const std::string_view kNumberPattern;
extern const std::string_view kIdeographPattern;
extern const std::string_view kWordPattern;

// Walks over the pieces of a text in order; together they are the text. Linear time, no state but
// the position. The text must be valid UTF-8 and outlive the scanner.
class PieceScanner {
 public:
  explicit PieceScanner(std::string_view text) : text_(text) {}

  // The next piece, empty at the end.
  std::string_view Next();

 private:
  // Class and size of the character at a position, as seen from inside one piece of the first two
  // stages: size 0 at the end of that piece.
  struct Char {
    uint8_t classes;
    uint8_t size;
  };

  Char Classify(size_t at) const;
  Char At(size_t at) const;
  size_t NumberEnd(size_t at) const;
  size_t RunEnd(size_t at, uint8_t classes) const;
  size_t WordEnd(size_t at) const;
  size_t PunctuationEnd(size_t at) const;
  size_t SpaceEnd(size_t at) const;
  size_t MatchEnd(size_t at, Char first) const;
  bool IsNewline(size_t at) const;

  std::string_view text_;
  size_t position_ = 0;
  uint8_t stage_ = 0;  // bits kNumber and kIdeograph of the piece of the first two stages
};

}  // namespace dsv
