// What a needle test asks, read from a JSON file, so that the test fits any model.
//
// Generated facts are hidden in a haystack:
//   {"name": "secret numbers",
//    "prompt": "{document}\n\n{question}",            the user's message
//    "facts": [" The number of the {key} is {value}."],  one is chosen for each fact
//    "questions": ["What is the number of the {key}?"],
//    "keys": [["red", "green"], ["falcon", "kettle"]],   a key is one word of each list
//    "value": {"alphabet": "0123456789", "length": 4},
//    "match": "exact", "max_tokens": 8, "thinking": false}
// or everything is given:
//   {"name": "mine", "prompt": ..., "match": "contains", "max_tokens": 64,
//    "items": [{"document": "a.txt", "question": "...", "answer": "...", "depth": 0.25}]}
// `document` is relative to the task file. `depth`, `thinking` and `max_tokens` may be left out.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace dsv::cli {

// White space at both ends of a reply does not count.
enum class AnswerMatch : uint8_t { kExact, kPrefix, kContains };

struct NeedleItem {
  std::filesystem::path document;
  std::string question;
  std::string answer;
  std::optional<double> depth;  // of what the question is about, 0 to 1
};

struct NeedleTask {
  std::string name;
  std::string prompt;
  AnswerMatch match = AnswerMatch::kExact;
  int64_t max_tokens = 32;  // of a reply, reasoning included
  bool thinking = false;

  std::vector<std::string> facts;
  std::vector<std::string> questions;
  std::vector<std::vector<std::string>> keys;
  std::string alphabet;
  int64_t value_length = 0;

  std::vector<NeedleItem> items;  // if not empty, what stands above from `facts` on is

  // The beginning of the user's message up to the end of the document, and the whole of it.
  std::string UpToDocument(std::string_view document) const;
  std::string Message(std::string_view document, std::string_view question) const;
  bool IsRight(std::string_view reply, std::string_view answer) const;
};

Result<NeedleTask> ParseNeedleTask(std::string_view text, const std::string& path);

// Every `name` of `text` replaced by `value`.
std::string ReplaceAll(std::string_view text, std::string_view name, std::string_view value);

}  // namespace dsv::cli
