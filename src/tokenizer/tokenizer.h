// Text to token ids and back (spec 8): byte-level BPE with the pre-tokenizer and the added tokens
// of the DeepSeek-V4 family.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/utf8.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/merges.h"
#include "tokenizer/vocabulary.h"

namespace dsv {

struct TokenizerFile;

struct EncodeOptions {
  // False: literals of added tokens are ordinary text, so that no added token can come out. For
  // text from people who must not be able to inject control tokens.
  bool match_added = true;
};

struct DecodeOptions {
  // Leaves out the added tokens that tokenizer.json flags "special".
  bool skip_special = false;
};

// Immutable after loading: all methods may be called from any number of threads.
class Tokenizer {
 public:
  // `path` is a tokenizer.json or a directory that holds one.
  static Result<Tokenizer> Load(const std::filesystem::path& path);
  // `source` names the text in errors.
  static Result<Tokenizer> Parse(std::string_view json_text, std::string_view source);

  // Adds neither BOS nor EOS. Text that is not UTF-8 is refused with the byte offset.
  Result<std::vector<int32_t>> Encode(std::string_view utf8, EncodeOptions options = {}) const;

  // The bytes of the tokens, one after another; they need not be UTF-8 (RepairUtf8 makes text).
  Result<std::string> Decode(std::span<const int32_t> ids, DecodeOptions options = {}) const;

  // The bytes of one token, an added token's literal. Valid as long as the tokenizer.
  Result<std::string_view> TokenBytes(int64_t id) const;
  // The id of the added token with this literal.
  std::optional<int32_t> FindAdded(std::string_view literal) const;
  // The id of the ordinary token with these bytes.
  std::optional<int32_t> FindToken(std::string_view bytes) const;

  bool IsAdded(int64_t id) const { return HasFlag(id, kAdded); }
  bool IsSpecial(int64_t id) const { return HasFlag(id, kSpecial); }
  // One more than the highest id. Ids below it may lack a token.
  int64_t vocab_size() const { return tokens_.size(); }

 private:
  enum Flag : uint8_t { kAdded = 1, kSpecial = 2, kWhole = 4 };

  Tokenizer(TokenTable tokens, std::vector<uint8_t> flags, TokenIndex index, Merges merges,
            AddedTokenMatcher added);
  static Result<Tokenizer> Build(const TokenizerFile& file);

  bool HasFlag(int64_t id, Flag flag) const {
    return id >= 0 && id < vocab_size() && (flags_[static_cast<size_t>(id)] & flag) != 0;
  }
  void EncodeOrdinary(std::string_view text, std::vector<int32_t>& ids) const;

  TokenTable tokens_;
  std::vector<uint8_t> flags_;  // [vocab_size] of Flag; kWhole: the merges make it from its bytes
  TokenIndex index_;            // ordinary tokens
  Merges merges_;
  AddedTokenMatcher added_;
};

// Turns ids that arrive one at a time into text. A character is given out when it is complete;
// bytes that are not UTF-8 become U+FFFD, one for each maximal ill-formed subsequence, as soon as
// no further token could complete them. The tokenizer must outlive the decoder.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, DecodeOptions options = {})
      : tokenizer_(&tokenizer), options_(options) {}

  // The text that this token completes, often empty. An id without a token changes nothing.
  Result<std::string> Feed(int32_t id);
  // The rest; afterwards the decoder is as new.
  std::string Finish();

 private:
  const Tokenizer* tokenizer_;
  DecodeOptions options_;
  Utf8Repairer repairer_;
};

}  // namespace dsv
