#include "chat/parser_input.h"

namespace dsv::chat {

Match MatchLiteral(std::string_view rest, std::string_view literal, bool ended) {
  if (rest.starts_with(literal)) return Match::kFull;
  if (!ended && literal.starts_with(rest)) return Match::kPartial;
  return Match::kNone;
}

Found FindFirst(std::string_view rest, size_t from, std::span<const std::string_view> patterns,
                bool ended) {
  std::string starts;
  for (const std::string_view pattern : patterns) {
    if (starts.find(pattern[0]) == std::string::npos) starts += pattern[0];
  }
  for (size_t at = rest.find_first_of(starts, from); at != std::string_view::npos;
       at = rest.find_first_of(starts, at + 1)) {
    const std::string_view tail = rest.substr(at);
    bool partial = false;
    for (size_t i = 0; i < patterns.size(); ++i) {
      const Match match = MatchLiteral(tail, patterns[i], ended);
      if (match == Match::kFull) return {match, at, i};
      partial = partial || match == Match::kPartial;
    }
    if (partial) return {Match::kPartial, at, 0};
  }
  return {Match::kNone, rest.size(), 0};
}

}  // namespace dsv::chat
