// Helpers of the tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "chat/json_text.h"

namespace dsv::chat {

inline std::string ReadTestFile(const std::string& name) {
  std::ifstream file(std::string(DSV_TEST_DATA "/encoding/") + name, std::ios::binary);
  EXPECT_TRUE(file) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

inline JsonValue MustRead(std::string_view text) {
  Result<JsonValue> value = ReadJson(text, "test");
  EXPECT_TRUE(value) << (value ? "" : value.error().message);
  return value ? *std::move(value) : JsonValue();
}

// The objects of a file of JSON lines, with their text.
struct JsonLine {
  std::string text;
  JsonValue value;

  std::string name() const { return *value.Find("name")->string(); }
};

inline std::vector<JsonLine> ReadTestLines(const std::string& name) {
  std::ifstream file(std::string(DSV_TEST_DATA "/encoding/") + name);
  std::vector<JsonLine> lines;
  for (std::string line; std::getline(file, line);) lines.push_back({line, MustRead(line)});
  EXPECT_FALSE(lines.empty()) << name;
  return lines;
}

// SHA-256 in hexadecimal (FIPS 180-4).
std::string Sha256(std::string_view text);

}  // namespace dsv::chat
