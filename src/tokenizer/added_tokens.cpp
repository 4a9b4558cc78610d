#include "tokenizer/added_tokens.h"

#include <algorithm>

namespace dsv {
namespace {

unsigned char ByteAt(std::string_view text, size_t at) {
  return static_cast<unsigned char>(text[at]);
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<std::pair<std::string, int32_t>> literals)
    : literals_(std::move(literals)) {
  std::sort(literals_.begin(), literals_.end());
  for (size_t i = 0; i < literals_.size(); ++i) {
    auto& [begin, end] = by_first_byte_[ByteAt(literals_[i].first, 0)];
    if (end == 0) begin = i;
    end = i + 1;
  }
}

// Narrows the sorted range of literals byte by byte: those that share the first `depth` bytes with
// the text stay, and one that ends there comes first.
AddedTokenMatcher::Match AddedTokenMatcher::LongestAt(std::string_view text, size_t at) const {
  Match best;
  auto [begin, end] = by_first_byte_[ByteAt(text, at)];
  for (size_t depth = 1; begin != end; ++depth) {
    if (literals_[begin].first.size() == depth) {
      best = {at, depth, literals_[begin].second};
      ++begin;
    }
    if (at + depth == text.size()) break;
    const unsigned char byte = ByteAt(text, at + depth);
    const auto first = literals_.begin() + static_cast<ptrdiff_t>(begin);
    const auto last = literals_.begin() + static_cast<ptrdiff_t>(end);
    const auto low = std::partition_point(
        first, last, [&](const auto& l) { return ByteAt(l.first, depth) < byte; });
    const auto high = std::partition_point(
        low, last, [&](const auto& l) { return ByteAt(l.first, depth) == byte; });
    begin = static_cast<size_t>(low - literals_.begin());
    end = static_cast<size_t>(high - literals_.begin());
  }
  return best;
}

AddedTokenMatcher::Match AddedTokenMatcher::Find(std::string_view text, size_t from) const {
  for (size_t at = from; at < text.size(); ++at) {
    if (by_first_byte_[ByteAt(text, at)].second == 0) continue;
    const Match match = LongestAt(text, at);
    if (match.size > 0) return match;
  }
  return {text.size(), 0, -1};
}

int32_t AddedTokenMatcher::Lookup(std::string_view literal) const {
  const auto found = std::partition_point(literals_.begin(), literals_.end(),
                                          [&](const auto& l) { return l.first < literal; });
  return found != literals_.end() && found->first == literal ? found->second : -1;
}

}  // namespace dsv
