// JSON as the chat format needs it: a value that keeps what Python's json module keeps (key order,
// integers of any length with their digits, floats by value) and a writer with the bytes of
// json.dumps(value, ensure_ascii=False) (spec 9.4).
//
// nlohmann::json cannot stand in here: it refuses integers above 1.8e308, ends the text at a NUL
// byte, skips a byte order mark, and reports a number that overflows like a syntax error, while the
// rendering of tool arguments depends on exactly which texts are JSON.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"

namespace dsv::chat {

struct JsonMember;

// Already in Python's notation: "12345678901234567890", "100000.0", "1e+16".
struct JsonNumber {
  std::string text;
};

class JsonValue {
 public:
  using Array = std::vector<JsonValue>;
  using Object = std::vector<JsonMember>;  // keys are distinct, in the order of the text

  // Null. The constructors stand behind JsonMember, which they need complete.
  JsonValue();
  explicit JsonValue(bool value);
  explicit JsonValue(JsonNumber value);
  explicit JsonValue(std::string value);
  explicit JsonValue(Array value);
  explicit JsonValue(Object value);  // of equal keys, the first place and the last value stay

  bool is_null() const { return std::holds_alternative<std::monostate>(data_); }
  // Null if the value is of another kind.
  const bool* boolean() const { return std::get_if<bool>(&data_); }
  const JsonNumber* number() const { return std::get_if<JsonNumber>(&data_); }
  const std::string* string() const { return std::get_if<std::string>(&data_); }
  const Array* array() const { return std::get_if<Array>(&data_); }
  const Object* object() const { return std::get_if<Object>(&data_); }

  // The member of an object; null if this is no object or has no such key.
  const JsonValue* Find(std::string_view key) const;
  // False for null, false, zero, and empty strings, arrays and objects, as in Python.
  bool Truthy() const;
  // "a string", "null", ...: for error messages.
  std::string_view KindName() const;
  // Calls `visitor` with the held alternative; std::monostate stands for null.
  template <class Visitor>
  void Visit(Visitor&& visitor) const {
    std::visit(std::forward<Visitor>(visitor), data_);
  }

 private:
  std::variant<std::monostate, bool, JsonNumber, std::string, Array, Object> data_;
};

struct JsonMember {
  std::string key;
  JsonValue value;
};

inline JsonValue::JsonValue() = default;
inline JsonValue::JsonValue(bool value) : data_(value) {}
inline JsonValue::JsonValue(JsonNumber value) : data_(std::move(value)) {}
inline JsonValue::JsonValue(std::string value) : data_(std::move(value)) {}
inline JsonValue::JsonValue(Array value) : data_(std::move(value)) {}

// Why a text is refused. Everything after kTooDeep is grammatical JSON to Python's json module.
enum class JsonFault : uint8_t {
  kNone,
  kSyntax,
  kTooDeep,        // nests deeper than kMaxJsonDepth
  kNotFinite,      // NaN, Infinity or -Infinity
  kOverflow,       // a float beyond the range of double
  kLoneSurrogate,  // a \u escape that is half of a pair
};

struct JsonParse {
  JsonValue value;  // only meaningful with kNone
  JsonFault fault = JsonFault::kNone;
  size_t at = 0;  // byte of the fault
};

// `text` is valid UTF-8. A syntax error takes precedence over the faults listed after it.
JsonParse ParseJsonText(std::string_view text);

// ParseJsonText that refuses every fault and invalid UTF-8; `source` names the text in the error.
Result<JsonValue> ReadJson(std::string_view text, std::string_view source);

// One clause for error messages: "invalid JSON at byte 3".
std::string Describe(JsonFault fault, size_t at);

void AppendJson(const JsonValue& value, std::string& out);
std::string ToJson(const JsonValue& value);

// Appends `text` escaped for the inside of a JSON string, without the quotes. The result for a text
// is the concatenation of the results for its pieces.
void AppendEscaped(std::string_view text, std::string& out);
// The same with quotes.
void AppendQuoted(std::string_view text, std::string& out);

}  // namespace dsv::chat
