// Checks of flag values whose messages say what was expected and what was found.
#pragma once

#include <fmt/format.h>

#include <charconv>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "cli/command.h"

namespace dsv::cli {

template <class T>
bool ParseNumber(std::string_view text, T& value) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  return result.ec == std::errc() && result.ptr == text.data() + text.size();
}

// A decimal number without a fraction in [min, max].
template <class T>
CLI::Validator WholeNumber(T min, T max) {
  return CLI::Validator(
      [min, max](const std::string& text) {
        T value = 0;
        if (ParseNumber(text, value) && value >= min && value <= max) return std::string();
        return fmt::format("expected a whole number from {} to {}, found '{}'", min, max, text);
      },
      "");
}

inline CLI::Validator RealNumber() {
  return CLI::Validator(
      [](const std::string& text) {
        double value = 0;
        return ParseNumber(text, value) ? "" : fmt::format("expected a number, found '{}'", text);
      },
      "");
}

inline CLI::Validator NotEmpty() {
  return CLI::Validator(
      [](const std::string& text) { return text.empty() ? "expected a name, found none" : ""; },
      "");
}

// Text that is not empty and is UTF-8.
inline CLI::Validator SomeText() {
  return CLI::Validator(
      [](const std::string& text) -> std::string {
        if (text.empty()) return "expected text, found none";
        const auto bad = FindInvalidUtf8(text);
        if (!bad) return "";
        return fmt::format("expected UTF-8, found an ill-formed sequence at byte {}", *bad);
      },
      "");
}

inline CLI::Validator OneOf(std::vector<std::string> words) {
  return CLI::Validator(
      [words = std::move(words)](const std::string& text) {
        for (const std::string& word : words) {
          if (word == text) return std::string();
        }
        return fmt::format("expected {}, found '{}'", fmt::join(words, " or "), text);
      },
      "");
}

}  // namespace dsv::cli
