#include "cli/text_input.h"

#include <cstdio>
#include <iostream>
#include <iterator>
#include <utility>

#include "base/file.h"
#include "base/utf8.h"

namespace dsv::cli {
Status CheckTextUtf8(const std::string& text, const std::string& source) {
  if (const auto offset = FindInvalidUtf8(text)) {
    return Fail("{}: expected UTF-8, found an ill-formed sequence at byte {}", source, *offset);
  }
  return {};
}

Status CheckStandardInput() {
  if (std::ferror(stdin) != 0) return Fail("standard input: cannot read");
  return {};
}

Result<std::string> ReadTextFile(const std::string& path) {
  DSV_ASSIGN(std::string text, ReadFile(path));
  DSV_TRY(CheckTextUtf8(text, path));
  return text;
}

Result<std::string> ReadStandardInput() {
  std::string text(std::istreambuf_iterator<char>(std::cin), {});
  DSV_TRY(CheckStandardInput());
  DSV_TRY(CheckTextUtf8(text, "standard input"));
  return text;
}

std::string TrimEnd(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

void AddUserText(std::vector<dsv4::Message>& messages, const std::string& text) {
  if (messages.empty() || messages.back().role != dsv4::Role::kUser) {
    messages.push_back({.role = dsv4::Role::kUser, .content = text});
  } else {
    messages.back().content += "\n\n" + text;
  }
}

}  // namespace dsv::cli
