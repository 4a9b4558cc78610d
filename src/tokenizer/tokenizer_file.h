// Reads tokenizer.json and checks that it is one of the family: a byte-level BPE with the
// four-stage pre-tokenizer of spec 8.2 and plain added tokens.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace dsv {

struct AddedToken {
  std::string content;
  int64_t id = 0;
  bool special = false;
};

// What the file says, in its order. Ids are in [0, kMaxTokenId] and settings are checked; that
// names refer to tokens is not.
struct TokenizerFile {
  std::vector<std::pair<std::string, int64_t>> vocab;  // byte-alphabet text, id
  std::vector<std::string> merges;                     // two byte-alphabet texts, one space between
  std::vector<AddedToken> added_tokens;
};

// `source` names the text in errors.
Result<TokenizerFile> ParseTokenizerFile(std::string_view json_text, std::string_view source);

// Text from the file as an error message shows it: quoted, on one line, cut if long.
std::string Quote(std::string_view text);

}  // namespace dsv
