// Documents of a given length in which facts are hidden at controlled depths.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cli/eval/needle_task.h"
#include "dsv4/dsv4.h"

namespace dsv::cli {

// Texts one after another, a blank line between them, then from the beginning again.
class Haystack {
 public:
  static Result<Haystack> Create(const dsv4::Tokenizer& tokenizer, std::vector<std::string> texts);

  int64_t tokens() const { return std::ssize(ends_); }

  // About `tokens` tokens of text, never more, cut at white space where there is any. They begin at
  // a paragraph of the first text; `at` in [0, 1) says which.
  struct Piece {
    std::string text;
    std::vector<int64_t> ends;  // of its tokens, in bytes of `text`
  };
  Piece Cut(double at, int64_t tokens) const;

 private:
  std::string text_;
  std::vector<int64_t> ends_;        // [tokens], bytes
  std::vector<int64_t> paragraphs_;  // of the first text: the tokens that begin them
};

struct NeedleOptions {
  int64_t tokens = 0;  // of the document with its facts
  int64_t facts = 8;
  int64_t distractors = 8;  // facts whose key differs from that of an asked one in one word
  uint64_t seed = 0;
};

struct Needle {
  std::string key;
  std::string value;
  double depth = 0;  // of its first byte in the document
};

struct NeedleDocument {
  std::string text;
  std::vector<Needle> facts;  // that are asked, by depth
  std::vector<Needle> distractors;
  std::vector<std::string> questions;  // one for each of `facts`
};

// The same for the same arguments on every machine. Fact i stands at a random place of the i-th of
// as many equal parts of the document as there are facts, near but not at its ends, after a
// sentence; distractors stand anywhere.
Result<NeedleDocument> BuildDocument(const NeedleTask& task, const Haystack& haystack,
                                     const dsv4::Tokenizer& tokenizer,
                                     const NeedleOptions& options);

}  // namespace dsv::cli
