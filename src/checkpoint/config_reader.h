// Typed and bounded access to the keys of one JSON object of a configuration file.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace dsv {

// Remembers which keys were asked for. Errors read "<source>: <path><key> is ..., expected ...".
// Refers to the JSON value, which must outlive it.
class ConfigReader {
 public:
  // `path` ends in a dot if the object is nested: "rope_scaling.".
  ConfigReader(const Json& object, std::string source, std::string path = "")
      : object_(object), source_(std::move(source)), path_(std::move(path)) {}

  const Json* Find(std::string_view key);  // null if absent
  bool Has(std::string_view key) const { return object_.contains(std::string(key)); }

  // A missing key is an error.
  Result<int64_t> Integer(std::string_view key, int64_t min, int64_t max);
  Result<double> Real(std::string_view key, double min, double max);
  Result<std::string> Text(std::string_view key);
  Result<ConfigReader> Object(std::string_view key);
  Result<const Json*> Array(std::string_view key);

  // Passes if the key is absent or equals the JSON text.
  Status Fixed(std::string_view key, std::string_view json);
  void Ignore(std::initializer_list<std::string_view> keys);

  // Appends the keys that nobody asked for, with their path, in file order.
  void AppendUnknown(std::vector<std::string>& keys) const;

  template <class... Args>
  tl::unexpected<Error> FailAt(std::string_view key, fmt::format_string<Args...> format,
                               Args&&... args) const {
    return Fail("{}: {}{} {}", source_, path_, key,
                fmt::format(format, std::forward<Args>(args)...));
  }
  const std::string& source() const { return source_; }
  const Json& object() const { return object_; }

 private:
  Result<const Json*> Required(std::string_view key);

  const Json& object_;
  std::string source_;
  std::string path_;
  std::unordered_set<std::string> known_;
};

// A value as short JSON text for an error message.
std::string Shown(const Json& value);

}  // namespace dsv
