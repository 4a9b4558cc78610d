#include "checkpoint/config_reader.h"

#include <cmath>

namespace dsv {

std::string Shown(const Json& value) {
  constexpr size_t kLongest = 60;
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  return text;
}

const Json* ConfigReader::Find(std::string_view key) {
  const auto [it, is_new] = known_.emplace(key);
  const auto found = object_.find(*it);
  return found == object_.end() ? nullptr : &*found;
}

Result<const Json*> ConfigReader::Required(std::string_view key) {
  const Json* value = Find(key);
  if (value == nullptr) return FailAt(key, "is missing");
  return value;
}

Result<int64_t> ConfigReader::Integer(std::string_view key, int64_t min, int64_t max) {
  DSV_ASSIGN(const Json* value, Required(key));
  const bool fits = value->is_number_integer() &&
                    (!value->is_number_unsigned() || value->get<uint64_t>() <= INT64_MAX);
  const int64_t number = fits ? value->get<int64_t>() : 0;
  if (fits && number >= min && number <= max) return number;
  if (min == max) return FailAt(key, "is {}, expected {}", Shown(*value), min);
  return FailAt(key, "is {}, expected an integer from {} to {}", Shown(*value), min, max);
}

Result<double> ConfigReader::Real(std::string_view key, double min, double max) {
  DSV_ASSIGN(const Json* value, Required(key));
  const double number = value->is_number() ? value->get<double>() : std::nan("");
  if (number >= min && number <= max) return number;
  if (min == max) return FailAt(key, "is {}, expected {}", Shown(*value), min);
  return FailAt(key, "is {}, expected a number from {} to {}", Shown(*value), min, max);
}

Result<std::string> ConfigReader::Text(std::string_view key) {
  DSV_ASSIGN(const Json* value, Required(key));
  if (!value->is_string()) return FailAt(key, "is {}, expected a string", Shown(*value));
  return value->get<std::string>();
}

Result<ConfigReader> ConfigReader::Object(std::string_view key) {
  DSV_ASSIGN(const Json* value, Required(key));
  if (!value->is_object()) return FailAt(key, "is {}, expected an object", Shown(*value));
  return ConfigReader(*value, source_, fmt::format("{}{}.", path_, key));
}

Result<const Json*> ConfigReader::Array(std::string_view key) {
  DSV_ASSIGN(const Json* value, Required(key));
  if (!value->is_array()) return FailAt(key, "is {}, expected an array", Shown(*value));
  return value;
}

Status ConfigReader::Fixed(std::string_view key, std::string_view json) {
  const Json* value = Find(key);
  if (value == nullptr || *value == Json::parse(json, nullptr, /*allow_exceptions=*/false))
    return {};
  return FailAt(key, "is {}, expected {}", Shown(*value), json);
}

void ConfigReader::Ignore(std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) known_.emplace(key);
}

void ConfigReader::AppendUnknown(std::vector<std::string>& keys) const {
  for (const auto& [key, value] : object_.items()) {
    if (known_.count(key) == 0) keys.push_back(path_ + key);
  }
}

}  // namespace dsv
