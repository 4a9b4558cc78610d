#include "chat/json_text.h"

#include <locale.h>
#include <stdlib.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/json.h"
#include "base/utf8.h"

namespace dsv::chat {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

void AppendUtf8(uint32_t code, std::string& out) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

// strtod whatever the locale of the process: std::from_chars of libstdc++ 11 reports subnormals and
// overflow alike.
double ParseDouble(const std::string& text) {
  static const locale_t kCLocale = newlocale(LC_ALL_MASK, "C", nullptr);
  return strtod_l(text.c_str(), nullptr, kCLocale);
}

// repr() of a Python float: shortest digits that read back the same, exponent form where the
// decimal exponent is below -4 or at least 16.
std::string FloatText(double value) {
  std::array<char, 40> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 std::chars_format::scientific);
  const std::string_view text(buffer.data(), static_cast<size_t>(end.ptr - buffer.data()));
  const size_t e = text.find('e');
  int exponent = 0;
  const size_t exponent_at = e + (text[e + 1] == '+' ? 2 : 1);
  std::from_chars(text.data() + exponent_at, text.data() + text.size(), exponent);
  std::string out = text[0] == '-' ? "-" : "";
  std::string digits;
  for (const char c : text.substr(0, e)) {
    if (IsDigit(c)) digits += c;
  }
  if (exponent < -4 || exponent >= 16) {
    out += digits[0];
    if (digits.size() > 1) out += '.' + digits.substr(1);
    return out + fmt::format("e{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0)
    return out + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const size_t whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return out + digits + std::string(whole - digits.size(), '0') + ".0";
  return out + digits.substr(0, whole) + '.' + digits.substr(whole);
}

// Recursive descent over the grammar of Python's json.loads; stops at the first syntax error and
// reads on past faults that only concern a value.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  JsonParse Parse() {
    JsonParse result;
    SkipSpace();
    if (Value(result.value, 0)) {
      SkipSpace();
      if (at_ < text_.size()) Syntax();
    }
    result.fault = hard_ != JsonFault::kNone ? hard_ : soft_;
    result.at = hard_ != JsonFault::kNone ? at_ : soft_at_;
    return result;
  }

 private:
  bool Syntax() {
    hard_ = JsonFault::kSyntax;
    return false;
  }

  void Soft(JsonFault fault, size_t at) {
    if (soft_ != JsonFault::kNone) return;
    soft_ = fault;
    soft_at_ = at;
  }

  void SkipSpace() { at_ = std::min(text_.find_first_not_of(" \t\n\r", at_), text_.size()); }

  bool Take(std::string_view literal) {
    if (!text_.substr(at_).starts_with(literal)) return false;
    at_ += literal.size();
    return true;
  }

  bool Value(JsonValue& out, int depth) {
    if (at_ == text_.size()) return Syntax();
    switch (text_[at_]) {
      case '{':
        return Members(out, depth + 1);
      case '[':
        return Items(out, depth + 1);
      case '"': {
        std::string string;
        if (!String(string)) return false;
        out = JsonValue(std::move(string));
        return true;
      }
      default:
        return Scalar(out);
    }
  }

  bool Scalar(JsonValue& out) {
    const size_t start = at_;
    if (Take("null")) {
      out = JsonValue();
    } else if (Take("true")) {
      out = JsonValue(true);
    } else if (Take("false")) {
      out = JsonValue(false);
    } else if (Take("NaN") || Take("Infinity") || Take("-Infinity")) {
      Soft(JsonFault::kNotFinite, start);
    } else {
      return Number(out);
    }
    return true;
  }

  size_t Digits() {
    const size_t start = at_;
    while (at_ < text_.size() && IsDigit(text_[at_])) ++at_;
    return at_ - start;
  }

  bool Number(JsonValue& out) {
    const size_t start = at_;
    Take("-");
    const size_t first = at_;
    if (Digits() == 0) return Syntax();
    if (text_[first] == '0') at_ = first + 1;  // no leading zeros; what follows is an error above
    const size_t whole_end = at_;
    if (Take(".") && Digits() == 0) return Syntax();
    if (Take("e") || Take("E")) {
      if (!Take("+")) Take("-");
      if (Digits() == 0) return Syntax();
    }
    std::string digits(text_.substr(start, at_ - start));
    if (at_ == whole_end) {
      out = JsonValue(JsonNumber{digits == "-0" ? "0" : std::move(digits)});
      return true;
    }
    const double value = ParseDouble(digits);
    if (std::isinf(value)) {
      Soft(JsonFault::kOverflow, start);
    } else {
      out = JsonValue(JsonNumber{FloatText(value)});
    }
    return true;
  }

  bool Hex4(uint32_t& out) {
    if (text_.size() - at_ < 4) return Syntax();
    const char* begin = text_.data() + at_;
    const auto [end, error] = std::from_chars(begin, begin + 4, out, 16);
    if (error != std::errc() || end != begin + 4) return Syntax();
    at_ += 4;
    return true;
  }

  // After "\u".
  bool UnicodeEscape(std::string& out) {
    const size_t start = at_ - 2;
    uint32_t code = 0;
    if (!Hex4(code)) return false;
    if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_).starts_with("\\u")) {
      const size_t second = at_;
      at_ += 2;
      uint32_t low = 0;
      if (!Hex4(low)) return false;
      if (low >= 0xDC00 && low < 0xE000) {
        AppendUtf8(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00), out);
        return true;
      }
      at_ = second;
    }
    if (code >= 0xD800 && code < 0xE000) {
      Soft(JsonFault::kLoneSurrogate, start);
    } else {
      AppendUtf8(code, out);
    }
    return true;
  }

  bool String(std::string& out) {
    ++at_;
    while (true) {
      const size_t start = at_;
      while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\\' &&
             static_cast<uint8_t>(text_[at_]) >= 0x20) {
        ++at_;
      }
      out += text_.substr(start, at_ - start);
      if (at_ == text_.size() || static_cast<uint8_t>(text_[at_]) < 0x20) return Syntax();
      if (text_[at_++] == '"') return true;
      if (at_ == text_.size()) return Syntax();
      const char escape = text_[at_++];
      static constexpr std::string_view kFrom = "\"\\/bfnrt";
      static constexpr std::string_view kTo = "\"\\/\b\f\n\r\t";
      if (escape == 'u') {
        if (!UnicodeEscape(out)) return false;
      } else if (const size_t i = kFrom.find(escape); i != std::string_view::npos) {
        out += kTo[i];
      } else {
        return Syntax();
      }
    }
  }

  bool Enter(int depth) {
    if (depth > kMaxJsonDepth) {
      hard_ = JsonFault::kTooDeep;
      return false;
    }
    ++at_;
    SkipSpace();
    return true;
  }

  bool Items(JsonValue& out, int depth) {
    if (!Enter(depth)) return false;
    JsonValue::Array items;
    if (!Take("]")) {
      do {
        SkipSpace();
        if (!Value(items.emplace_back(), depth)) return false;
        SkipSpace();
      } while (Take(","));
      if (!Take("]")) return Syntax();
    }
    out = JsonValue(std::move(items));
    return true;
  }

  bool Members(JsonValue& out, int depth) {
    if (!Enter(depth)) return false;
    JsonValue::Object members;
    if (!Take("}")) {
      do {
        SkipSpace();
        if (at_ == text_.size() || text_[at_] != '"') return Syntax();
        JsonMember& member = members.emplace_back();
        if (!String(member.key)) return false;
        SkipSpace();
        if (!Take(":")) return Syntax();
        SkipSpace();
        if (!Value(member.value, depth)) return false;
        SkipSpace();
      } while (Take(","));
      if (!Take("}")) return Syntax();
    }
    out = JsonValue(std::move(members));
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
  JsonFault hard_ = JsonFault::kNone;
  JsonFault soft_ = JsonFault::kNone;
  size_t soft_at_ = 0;
};

// Of equal keys the first gives the position and the last gives the value.
void MergeEqualKeys(JsonValue::Object& members) {
  std::vector<size_t> order(members.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return members[a].key < members[b].key; });
  std::vector<bool> drop(members.size());
  bool any = false;
  for (size_t i = 0, first = 0; i < order.size(); ++i) {
    if (i == 0 || members[order[i]].key != members[order[i - 1]].key) {
      first = order[i];
      continue;
    }
    members[first].value = std::move(members[order[i]].value);
    drop[order[i]] = true;
    any = true;
  }
  if (!any) return;
  JsonValue::Object kept;
  for (size_t i = 0; i < members.size(); ++i) {
    if (!drop[i]) kept.push_back(std::move(members[i]));
  }
  members = std::move(kept);
}

struct Writer {
  std::string& out;

  void operator()(std::monostate) const { out += "null"; }
  void operator()(bool value) const { out += value ? "true" : "false"; }
  void operator()(const JsonNumber& value) const { out += value.text; }
  void operator()(const std::string& value) const { AppendQuoted(value, out); }

  void operator()(const JsonValue::Array& items) const {
    out += '[';
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += ", ";
      AppendJson(items[i], out);
    }
    out += ']';
  }

  void operator()(const JsonValue::Object& members) const {
    out += '{';
    for (size_t i = 0; i < members.size(); ++i) {
      if (i > 0) out += ", ";
      AppendQuoted(members[i].key, out);
      out += ": ";
      AppendJson(members[i].value, out);
    }
    out += '}';
  }
};

}  // namespace

JsonValue::JsonValue(Object value) {
  MergeEqualKeys(value);
  data_ = std::move(value);
}

const JsonValue* JsonValue::Find(std::string_view key) const {
  const Object* members = object();
  if (members == nullptr) return nullptr;
  const auto found = std::find_if(members->begin(), members->end(),
                                  [&](const JsonMember& member) { return member.key == key; });
  return found == members->end() ? nullptr : &found->value;
}

bool JsonValue::Truthy() const {
  if (const bool* value = boolean()) return *value;
  if (const JsonNumber* value = number()) {
    const std::string_view mantissa =
        std::string_view(value->text).substr(0, value->text.find('e'));
    return mantissa.find_first_of("123456789") != std::string_view::npos;
  }
  if (const std::string* value = string()) return !value->empty();
  if (const Array* value = array()) return !value->empty();
  if (const Object* value = object()) return !value->empty();
  return false;
}

std::string_view JsonValue::KindName() const {
  static constexpr std::array<std::string_view, 6> kNames = {"null",     "a boolean", "a number",
                                                             "a string", "an array",  "an object"};
  return kNames[data_.index()];
}

JsonParse ParseJsonText(std::string_view text) { return Reader(text).Parse(); }

std::string Describe(JsonFault fault, size_t at) {
  switch (fault) {
    case JsonFault::kTooDeep:
      return fmt::format("JSON nests deeper than {} levels at byte {}", kMaxJsonDepth, at);
    case JsonFault::kNotFinite:
      return fmt::format("NaN or Infinity at byte {}", at);
    case JsonFault::kOverflow:
      return fmt::format("a number beyond the range of double at byte {}", at);
    case JsonFault::kLoneSurrogate:
      return fmt::format("a lone surrogate escape at byte {}", at);
    case JsonFault::kSyntax:
    case JsonFault::kNone:
      break;
  }
  return fmt::format("invalid JSON at byte {}", at);
}

Result<JsonValue> ReadJson(std::string_view text, std::string_view source) {
  if (const auto at = FindInvalidUtf8(text)) {
    return Fail("{}: invalid UTF-8 at byte {}", source, *at);
  }
  JsonParse parse = ParseJsonText(text);
  if (parse.fault != JsonFault::kNone)
    return Fail("{}: {}", source, Describe(parse.fault, parse.at));
  return std::move(parse.value);
}

void AppendEscaped(std::string_view text, std::string& out) {
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        if (byte < 0x20) {
          out += fmt::format("\\u{:04x}", byte);
        } else {
          out += c;
        }
    }
  }
}

void AppendQuoted(std::string_view text, std::string& out) {
  out += '"';
  AppendEscaped(text, out);
  out += '"';
}

void AppendJson(const JsonValue& value, std::string& out) { value.Visit(Writer{out}); }

std::string ToJson(const JsonValue& value) {
  std::string out;
  AppendJson(value, out);
  return out;
}

}  // namespace dsv::chat
