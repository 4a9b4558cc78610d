#include "tokenizer/tokenizer.h"

#include <utility>

#include "base/file.h"
#include "tokenizer/pretokenizer.h"

namespace dsv {

Tokenizer::Tokenizer(TokenTable tokens, std::vector<uint8_t> flags, TokenIndex index, Merges merges,
                     AddedTokenMatcher added)
    : tokens_(std::move(tokens)),
      flags_(std::move(flags)),
      index_(std::move(index)),
      merges_(std::move(merges)),
      added_(std::move(added)) {}

Result<Tokenizer> Tokenizer::Load(const std::filesystem::path& path) {
  std::error_code ignored;
  const bool is_directory = std::filesystem::is_directory(path, ignored);
  const std::filesystem::path file = is_directory ? path / "tokenizer.json" : path;
  DSV_ASSIGN(const std::string text, ReadFile(file));
  return Parse(text, file.string());
}

Result<std::vector<int32_t>> Tokenizer::Encode(std::string_view utf8, EncodeOptions options) const {
  if (utf8.size() > INT32_MAX) {
    return Fail("text: {} bytes, expected at most {}", utf8.size(), INT32_MAX);
  }
  if (const auto offset = FindInvalidUtf8(utf8)) {
    return Fail("text: expected UTF-8, found an ill-formed sequence at byte {}", *offset);
  }
  std::vector<int32_t> ids;
  ids.reserve(utf8.size() / 4);
  if (!options.match_added) {
    EncodeOrdinary(utf8, ids);
    return ids;
  }
  for (size_t at = 0; at < utf8.size();) {
    const AddedTokenMatcher::Match match = added_.Find(utf8, at);
    EncodeOrdinary(utf8.substr(at, match.start - at), ids);
    if (match.size > 0) ids.push_back(match.id);
    at = match.start + match.size;
  }
  return ids;
}

void Tokenizer::EncodeOrdinary(std::string_view text, std::vector<int32_t>& ids) const {
  PieceScanner scanner(text);
  for (std::string_view piece = scanner.Next(); !piece.empty(); piece = scanner.Next()) {
    // Most pieces of natural text are one token; only tokens that their own merges make may be
    // taken without running the merges.
    if (static_cast<int64_t>(piece.size()) <= tokens_.longest()) {
      const int32_t id = index_.Find(tokens_, piece);
      if (HasFlag(id, kWhole)) {
        ids.push_back(id);
        continue;
      }
    }
    merges_.Apply(piece, ids);
  }
}

Result<std::string> Tokenizer::Decode(std::span<const int32_t> ids, DecodeOptions options) const {
  std::string bytes;
  for (const int32_t id : ids) {
    DSV_ASSIGN(const std::string_view token, TokenBytes(id));
    if (!options.skip_special || !IsSpecial(id)) bytes += token;
  }
  return bytes;
}

Result<std::string_view> Tokenizer::TokenBytes(int64_t id) const {
  if (id < 0 || id >= vocab_size()) {
    return Fail("token id {}: expected 0..{}", id, vocab_size() - 1);
  }
  const std::string_view bytes = tokens_.Bytes(id);
  if (bytes.empty()) return Fail("token id {}: the vocabulary has no token with this id", id);
  return bytes;
}

std::optional<int32_t> Tokenizer::FindAdded(std::string_view literal) const {
  const int32_t id = added_.Lookup(literal);
  return id >= 0 ? std::optional(id) : std::nullopt;
}

std::optional<int32_t> Tokenizer::FindToken(std::string_view bytes) const {
  const int32_t id = index_.Find(tokens_, bytes);
  return id >= 0 ? std::optional(id) : std::nullopt;
}

Result<std::string> StreamDecoder::Feed(int32_t id) {
  DSV_ASSIGN(const std::string_view token, tokenizer_->TokenBytes(id));
  std::string text;
  if (!options_.skip_special || !tokenizer_->IsSpecial(id)) repairer_.Feed(token, text);
  return text;
}

std::string StreamDecoder::Finish() {
  std::string text;
  repairer_.Finish(text);
  return text;
}

}  // namespace dsv
