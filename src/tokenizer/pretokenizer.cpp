#include "tokenizer/pretokenizer.h"

#include "base/utf8.h"
#include "tokenizer/unicode_classes.h"

namespace dsv {
namespace {

using unicode::kIdeograph;
using unicode::kLetter;
using unicode::kMark;
using unicode::kNumber;
using unicode::kPunctuation;
using unicode::kSpace;
using unicode::kSymbol;

// Stages 1 and 2 cut wherever one of these bits changes: an ideograph is never a number.
constexpr uint8_t kStageBits = kNumber | kIdeograph;

bool IsAsciiLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

}  // namespace

const std::string_view kNumberPattern = R"(\p{N}{1,3})";
const std::string_view kIdeographPattern =
    "[\xE4\xB8\x80-\xE9\xBE\xA5\xE3\x81\x80-\xE3\x82\x9F\xE3\x82\xA0-\xE3\x83\xBF]+";
const std::string_view kWordPattern =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|)"
    "[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|"
    "\\s*[\r\n]+|\\s+(?!\\S)|\\s+";

PieceScanner::Char PieceScanner::Classify(size_t at) const {
  const auto byte = static_cast<unsigned char>(text_[at]);
  if (byte < 0x80) return {unicode::ClassOf(byte), 1};
  const CodePoint c = ReadUtf8(text_.data() + at);
  return {unicode::ClassOf(c.value), static_cast<uint8_t>(c.bytes)};
}

PieceScanner::Char PieceScanner::At(size_t at) const {
  if (at >= text_.size()) return {0, 0};
  const Char c = Classify(at);
  if (((c.classes ^ stage_) & kStageBits) != 0) return {0, 0};
  return c;
}

bool PieceScanner::IsNewline(size_t at) const {
  return at < text_.size() && (text_[at] == '\n' || text_[at] == '\r');
}

size_t PieceScanner::RunEnd(size_t at, uint8_t classes) const {
  for (Char c = At(at); (c.classes & classes) != 0; c = At(at)) at += c.size;
  return at;
}

// \p{N}{1,3}
size_t PieceScanner::NumberEnd(size_t at) const {
  for (int i = 0; i < 3; ++i) at += At(at).size;
  return at;
}

// [\p{L}\p{M}]+ from a character that is known to match.
size_t PieceScanner::WordEnd(size_t at) const {
  while (true) {
    while (stage_ == 0 && at < text_.size() && IsAsciiLetter(text_[at])) ++at;
    const Char c = At(at);
    if ((c.classes & (kLetter | kMark)) == 0) return at;
    at += c.size;
  }
}

// [\p{P}\p{S}]+[\r\n]*
size_t PieceScanner::PunctuationEnd(size_t at) const {
  at = RunEnd(at, kPunctuation | kSymbol);
  while (stage_ == 0 && IsNewline(at)) ++at;
  return at;
}

// \s*[\r\n]+|\s+(?!\S)|\s+ from a white-space character.
size_t PieceScanner::SpaceEnd(size_t at) const {
  size_t last = at;          // start of the run's last character
  size_t after_newline = 0;  // end of the run's last \r or \n
  size_t end = at;
  for (Char c = At(at); (c.classes & kSpace) != 0; c = At(end)) {
    last = end;
    end += c.size;
    if (IsNewline(last)) after_newline = end;
  }
  if (after_newline != 0) return after_newline;
  const bool at_piece_end = At(end).size == 0;
  return at_piece_end || last == at ? end : last;
}

// End of the match of the third stage at `at`, which holds `first`; `at` itself if there is none.
size_t PieceScanner::MatchEnd(size_t at, Char first) const {
  if ((first.classes & (kLetter | kMark)) != 0) return WordEnd(at);
  const size_t next = at + first.size;
  if ((first.classes & (kPunctuation | kSymbol)) != 0) {
    // All ASCII punctuation and symbols, and nothing else, may precede ASCII letters.
    const bool is_ascii = first.size == 1;
    if (!is_ascii || next == text_.size() || !IsAsciiLetter(text_[next])) return PunctuationEnd(at);
    size_t end = next;
    while (end < text_.size() && IsAsciiLetter(text_[end])) ++end;
    return end;
  }
  const uint8_t next_classes = At(next).classes;
  if ((next_classes & (kLetter | kMark)) != 0 && !IsNewline(at)) return WordEnd(next);
  if ((next_classes & (kPunctuation | kSymbol)) != 0 && text_[at] == ' ') {
    return PunctuationEnd(next);
  }
  return (first.classes & kSpace) != 0 ? SpaceEnd(at) : at;
}

std::string_view PieceScanner::Next() {
  const size_t start = position_;
  if (start == text_.size()) return {};
  const Char first = Classify(start);
  stage_ = first.classes & kStageBits;
  if (stage_ == kNumber) {
    position_ = NumberEnd(start);
    return text_.substr(start, position_ - start);
  }
  size_t end = MatchEnd(start, first);
  if (end == start) {  // what no alternative matches, up to the next match, is one piece
    end += first.size;
    for (Char c = At(end); c.size != 0 && MatchEnd(end, c) == end; c = At(end)) end += c.size;
  }
  position_ = end;
  return text_.substr(start, end - start);
}

}  // namespace dsv
