// What a parser has received and not yet used, and how far the current state has looked at it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace dsv::chat {

struct ParserInput {
  std::string buffer;  // whole characters
  size_t used = 0;     // bytes of buffer that are done with
  size_t base = 0;     // bytes dropped from the front of buffer
  size_t looked = 0;   // bytes of Rest() that the current state need not look at again
  bool ended = false;  // nothing follows

  std::string_view Rest() const { return std::string_view(buffer).substr(used); }
  size_t Offset() const { return base + used; }

  void Use(size_t size) {
    used += size;
    looked = 0;
  }

  // Frees what is used. Between feeds only, so that one long feed costs one move.
  void Compact() {
    buffer.erase(0, used);
    base += used;
    used = 0;
  }
};

enum class Match : uint8_t {
  kNone,
  kPartial,  // more bytes could make it one
  kFull,
};

Match MatchLiteral(std::string_view rest, std::string_view literal, bool ended);

struct Found {
  Match match;   // kNone: none of the patterns is there or can still come of what is there
  size_t at;     // where it starts; the end of the text for kNone
  size_t which;  // index of the pattern, for kFull
};

// The pattern that starts first in `rest` from `from` on. A start that more bytes could complete
// comes before everything behind it.
Found FindFirst(std::string_view rest, size_t from, std::span<const std::string_view> patterns,
                bool ended);

}  // namespace dsv::chat
