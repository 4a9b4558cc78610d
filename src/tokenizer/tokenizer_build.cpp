// Makes a Tokenizer from its file: resolves names to ids and checks that they fit together.
#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "tokenizer/byte_alphabet.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_file.h"

namespace dsv {
namespace {

// Far above any real file; keeps offsets into it within 32 bits.
constexpr size_t kMaxFileBytes = size_t{1} << 28;

struct TokensById {
  std::vector<std::string> bytes;  // empty: no token
  std::vector<bool> is_added;
};

TokensById EmptyTokens(const TokenizerFile& file) {
  int64_t highest = -1;
  for (const auto& [text, id] : file.vocab) highest = std::max(highest, id);
  for (const AddedToken& token : file.added_tokens) highest = std::max(highest, token.id);
  const auto size = static_cast<size_t>(highest + 1);
  return {std::vector<std::string>(size), std::vector<bool>(size, false)};
}

// An added token may stand in the vocabulary too, under the same id; it is then no ordinary token,
// so that merges cannot make it.
Result<TokensById> CollectTokens(const TokenizerFile& file) {
  TokensById tokens = EmptyTokens(file);
  for (const AddedToken& token : file.added_tokens) {
    std::string& bytes = tokens.bytes[static_cast<size_t>(token.id)];
    if (!bytes.empty()) {
      return Fail("added_tokens: {} and {} both have id {}", Quote(bytes), Quote(token.content),
                  token.id);
    }
    bytes = token.content;
    tokens.is_added[static_cast<size_t>(token.id)] = true;
  }
  for (const auto& [text, id] : file.vocab) {
    std::string& bytes = tokens.bytes[static_cast<size_t>(id)];
    if (bytes == text && tokens.is_added[static_cast<size_t>(id)]) continue;
    if (!bytes.empty())
      return Fail("model.vocab[{}]: another token has id {} too", Quote(text), id);
    auto converted = BytesFromAlphabet(text);
    if (!converted || converted->empty()) {
      return Fail("model.vocab[{}]: expected characters of the byte alphabet", Quote(text));
    }
    bytes = *std::move(converted);
  }
  return tokens;
}

using Literals = std::vector<std::pair<std::string, int32_t>>;

// The added tokens; each literal must be the name of one id only.
Result<Literals> CollectLiterals(const TokenizerFile& file, const TokenTable& table,
                                 const TokenIndex& index) {
  Literals literals;
  for (const AddedToken& token : file.added_tokens) {
    const auto bytes = BytesFromAlphabet(token.content);
    const int32_t ordinary = bytes ? index.Find(table, *bytes) : -1;
    if (ordinary >= 0) {
      return Fail("added_tokens: {} has id {}, but model.vocab gives it id {}",
                  Quote(token.content), token.id, ordinary);
    }
    literals.emplace_back(token.content, static_cast<int32_t>(token.id));
  }
  std::sort(literals.begin(), literals.end());
  const auto twin =
      std::adjacent_find(literals.begin(), literals.end(),
                         [](const auto& a, const auto& b) { return a.first == b.first; });
  if (twin != literals.end()) return Fail("added_tokens: {} appears twice", Quote(twin->first));
  return literals;
}

Result<std::array<int32_t, 256>> FindByteTokens(const TokenTable& table, const TokenIndex& index) {
  std::array<int32_t, 256> byte_tokens{};
  for (size_t byte = 0; byte < byte_tokens.size(); ++byte) {
    const char c = static_cast<char>(byte);
    byte_tokens[byte] = index.Find(table, std::string_view(&c, 1));
    if (byte_tokens[byte] < 0) return Fail("model.vocab: no token for the byte 0x{:02X}", byte);
  }
  return byte_tokens;
}

Result<Merges> ResolveMerges(const std::vector<std::string>& texts, const TokensById& tokens,
                             const TokenTable& table, const TokenIndex& index) {
  DSV_ASSIGN(const auto byte_tokens, FindByteTokens(table, index));
  if (static_cast<int64_t>(texts.size()) > kMaxTokenId) {
    return Fail("model.merges: {} merges, expected at most {}", texts.size(), kMaxTokenId);
  }
  Merges merges(byte_tokens, static_cast<int64_t>(texts.size()));
  int32_t merged = -1;
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string_view text = texts[i];
    const size_t space = text.find(' ');
    const auto left_bytes = BytesFromAlphabet(text.substr(0, space));
    const auto right_bytes = BytesFromAlphabet(text.substr(space + 1));
    const int32_t left = left_bytes ? index.Find(table, *left_bytes) : -1;
    const int32_t right = right_bytes ? index.Find(table, *right_bytes) : -1;
    if (left < 0 || right < 0) {
      return Fail("model.merges[{}] {}: the {} part is not an ordinary token of the vocabulary", i,
                  Quote(text), left < 0 ? "left" : "right");
    }
    const std::string bytes = *left_bytes + *right_bytes;
    // Training numbers the results in the order of the merges: look at the next id first.
    const auto next = static_cast<size_t>(merged + 1);
    const bool is_next =
        next < tokens.bytes.size() && tokens.bytes[next] == bytes && !tokens.is_added[next];
    merged = is_next ? merged + 1 : index.Find(table, bytes);
    if (merged < 0) {
      return Fail("model.merges[{}] {}: the result is not an ordinary token of the vocabulary", i,
                  Quote(text));
    }
    if (!merges.Add(left, right, merged)) {
      return Fail("model.merges[{}] {}: the same merge comes earlier too", i, Quote(text));
    }
  }
  return merges;
}

}  // namespace

Result<Tokenizer> Tokenizer::Build(const TokenizerFile& file) {
  DSV_ASSIGN(const TokensById tokens, CollectTokens(file));
  TokenTable table(tokens.bytes);
  TokenIndex index(static_cast<int64_t>(file.vocab.size()));
  for (const auto& [text, id] : file.vocab) {
    if (tokens.is_added[static_cast<size_t>(id)]) continue;
    if (!index.Insert(table, static_cast<int32_t>(id))) {
      return Fail("model.vocab[{}]: appears twice", Quote(text));
    }
  }
  DSV_ASSIGN(Literals literals, CollectLiterals(file, table, index));
  DSV_ASSIGN(Merges merges, ResolveMerges(file.merges, tokens, table, index));

  std::vector<uint8_t> flags(static_cast<size_t>(table.size()), 0);
  for (const AddedToken& token : file.added_tokens) {
    flags[static_cast<size_t>(token.id)] = token.special ? kAdded | kSpecial : kAdded;
  }
  std::vector<int32_t> made;
  for (size_t id = 0; id < flags.size(); ++id) {
    if ((flags[id] & kAdded) != 0 || tokens.bytes[id].empty()) continue;
    made.clear();
    merges.Apply(tokens.bytes[id], made);
    if (made.size() == 1) flags[id] |= kWhole;
  }
  return Tokenizer(std::move(table), std::move(flags), std::move(index), std::move(merges),
                   AddedTokenMatcher(std::move(literals)));
}

Result<Tokenizer> Tokenizer::Parse(std::string_view json_text, std::string_view source) {
  if (json_text.size() > kMaxFileBytes) {
    return Fail("{}: {} bytes, expected at most {}", source, json_text.size(), kMaxFileBytes);
  }
  DSV_ASSIGN(const TokenizerFile file, ParseTokenizerFile(json_text, source));
  auto tokenizer = Build(file);
  if (!tokenizer) return Fail("{}: {}", source, tokenizer.error().message);
  return tokenizer;
}

}  // namespace dsv
