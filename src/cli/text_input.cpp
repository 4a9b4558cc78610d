#include "cli/text_input.h"

#include <iostream>
#include <iterator>
#include <utility>

#include "base/file.h"
#include "base/utf8.h"

namespace dsv::cli {
namespace {

Result<std::string> CheckUtf8(std::string text, const std::string& source) {
  if (const auto offset = FindInvalidUtf8(text)) {
    return Fail("{}: expected UTF-8, found an ill-formed sequence at byte {}", source, *offset);
  }
  return text;
}

}  // namespace

Result<std::string> ReadTextFile(const std::string& path) {
  DSV_ASSIGN(std::string text, ReadFile(path));
  return CheckUtf8(std::move(text), path);
}

Result<std::string> ReadStandardInput() {
  std::string text(std::istreambuf_iterator<char>(std::cin), {});
  return CheckUtf8(std::move(text), "standard input");
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
