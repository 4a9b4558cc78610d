#include "base/json.h"

#include <utility>

namespace dsv {
namespace {

// Builds the DOM like nlohmann's own parser, but keeps the error instead of throwing it.
class DomReader : public nlohmann::detail::json_sax_dom_parser<Json> {
 public:
  using json_sax_dom_parser::json_sax_dom_parser;
  size_t error_at = 0;

  template <class Exception>
  bool parse_error(size_t position, const std::string& /*token*/, const Exception& /*error*/) {
    error_at = position;
    return false;
  }
};

}  // namespace

Status CheckJsonDepth(std::string_view text, std::string_view source) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxJsonDepth) {
        return Fail("{}: JSON nests deeper than {} levels at byte {}", source, kMaxJsonDepth, i);
      }
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return {};
}

Result<Json> ParseJson(std::string_view text, std::string_view source) {
  DSV_TRY(CheckJsonDepth(text, source));
  Json value;
  DomReader reader(value, /*allow_exceptions=*/false);
  if (!Json::sax_parse(text.begin(), text.end(), &reader)) {
    return Fail("{}: invalid JSON at byte {} of {}", source, reader.error_at, text.size());
  }
  return value;
}

}  // namespace dsv
