// JSON from outside, without exceptions and with a bounded depth.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace dsv {

// Keeps the order of keys; of duplicate keys the last value wins.
using Json = nlohmann::ordered_json;

// Deeper nesting is refused: later passes over a value recurse.
inline constexpr int kMaxJsonDepth = 200;

// `source` names the text in the error, which gives the byte where parsing failed.
Result<Json> ParseJson(std::string_view text, std::string_view source);

// Fails if arrays and objects nest deeper than kMaxJsonDepth. ParseJson calls it; SAX readers of
// large files do so themselves.
Status CheckJsonDepth(std::string_view text, std::string_view source);

}  // namespace dsv
