// DSML tags as damaged as models write them: <DSML invoke with other bars, spaces or no bars.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "chat/parser_input.h"

namespace dsv::chat {

enum class TagKind : uint8_t {
  kBlock,  // tool_calls and its variants
  kInvoke,
  kParameter,
  kOther,  // any other use of the DSML token
};

struct Tag {
  Match match = Match::kNone;
  TagKind kind = TagKind::kOther;
  size_t size = 0;  // up to the end of the tag's name: attributes and ">" follow
  bool closing = false;
  bool dsml = false;     // names DSML
  bool bracket = false;  // starts with "<"
};

// The tag at the start of `rest`, which begins with "<" or a bar. Tags without DSML count only if
// `plain` allows them. Looks at a bounded number of bytes.
Tag MatchTag(std::string_view rest, bool plain, bool ended);

// The value of attribute `key` (name or string) in what follows a tag's name, without the quotes
// around it, whatever their form; empty if there is none.
std::string_view TagAttribute(std::string_view attributes, std::string_view key);

// Whether the attributes end with a quotation mark.
bool EndsQuoted(std::string_view attributes);

}  // namespace dsv::chat
