#include "cli/eval/needle_task.h"

#include <array>
#include <utility>

#include "base/json.h"

namespace dsv::cli {
namespace {

constexpr std::string_view kDocument = "{document}";
constexpr std::string_view kQuestion = "{question}";
constexpr std::string_view kKey = "{key}";
constexpr std::string_view kValue = "{value}";

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
}

// Reads the members of one object; `where` names it in messages.
class Reader {
 public:
  Reader(const Json& json, std::string where) : json_(json), where_(std::move(where)) {}

  Status CheckKeys(std::initializer_list<std::string_view> known) const {
    if (!json_.is_object()) return Fail("{}: expected a JSON object", where_);
    for (const auto& [key, value] : json_.items()) {
      if (std::find(known.begin(), known.end(), key) == known.end()) {
        return Fail("{}: {}: unknown key", where_, key);
      }
    }
    return {};
  }

  bool Has(const char* key) const { return json_.contains(key); }

  Result<std::string> Text(const char* key) const {
    if (!Has(key) || !json_[key].is_string()) return Fail("{}: {}: expected a string", where_, key);
    return json_[key].get<std::string>();
  }

  // Text in which every one of `names` stands.
  Result<std::string> Template(const char* key,
                               std::initializer_list<std::string_view> names) const {
    DSV_ASSIGN(std::string text, Text(key));
    DSV_TRY(CheckNames(key, text, names));
    return text;
  }

  Result<std::vector<std::string>> Templates(const char* key,
                                             std::initializer_list<std::string_view> names) const {
    if (!Has(key)) return Fail("{}: {}: expected a list of strings", where_, key);
    DSV_ASSIGN(std::vector<std::string> list, Strings(json_[key], key));
    for (const std::string& text : list) DSV_TRY(CheckNames(key, text, names));
    return list;
  }

  Result<std::vector<std::vector<std::string>>> Lists(const char* key) const {
    if (!Has(key) || !json_[key].is_array() || json_[key].empty()) {
      return Fail("{}: {}: expected a list of lists of words", where_, key);
    }
    std::vector<std::vector<std::string>> lists;
    for (const Json& list : json_[key]) {
      DSV_ASSIGN(std::vector<std::string> words, Strings(list, key));
      lists.push_back(std::move(words));
    }
    return lists;
  }

  Result<int64_t> Count(const char* key, int64_t fallback) const {
    constexpr int64_t kMost = 1 << 20;
    if (!Has(key)) return fallback;
    const Json& value = json_[key];
    if (!value.is_number_integer() || value.get<int64_t>() < 1 || value.get<int64_t>() > kMost) {
      return Fail("{}: {}: expected a number from 1 to {}, found {}", where_, key, kMost,
                  value.dump());
    }
    return value.get<int64_t>();
  }

  Result<bool> Flag(const char* key) const {
    if (!Has(key)) return false;
    if (!json_[key].is_boolean()) return Fail("{}: {}: expected true or false", where_, key);
    return json_[key].get<bool>();
  }

  Result<std::optional<double>> Fraction(const char* key) const {
    if (!Has(key)) return std::nullopt;
    const Json& value = json_[key];
    if (!value.is_number() || value.get<double>() < 0 || value.get<double>() > 1) {
      return Fail("{}: {}: expected a number from 0 to 1, found {}", where_, key, value.dump());
    }
    return value.get<double>();
  }

 private:
  Result<std::vector<std::string>> Strings(const Json& list, const char* key) const {
    std::vector<std::string> texts;
    for (const Json& value : list.is_array() ? list : Json::array()) {
      if (!value.is_string()) return Fail("{}: {}: expected strings", where_, key);
      texts.push_back(value.get<std::string>());
    }
    if (texts.empty()) return Fail("{}: {}: expected a list of strings", where_, key);
    return texts;
  }

  Status CheckNames(const char* key, const std::string& text,
                    std::initializer_list<std::string_view> names) const {
    for (const std::string_view name : names) {
      if (text.find(name) != std::string::npos) continue;
      return Fail("{}: {}: expected {} in \"{}\"", where_, key, name, text);
    }
    return {};
  }

  const Json& json_;
  std::string where_;
};

Result<AnswerMatch> ParseMatch(const std::string& name, const std::string& path) {
  if (name == "exact") return AnswerMatch::kExact;
  if (name == "prefix") return AnswerMatch::kPrefix;
  if (name == "contains") return AnswerMatch::kContains;
  return Fail("{}: match: expected exact, prefix or contains, found {}", path, name);
}

Result<std::vector<NeedleItem>> ParseItems(const Json& list, const std::string& path) {
  if (!list.is_array() || list.empty()) return Fail("{}: items: expected a list", path);
  std::vector<NeedleItem> items;
  for (const Json& json : list) {
    const Reader reader(json, fmt::format("{}: items[{}]", path, items.size()));
    DSV_TRY(reader.CheckKeys({"document", "question", "answer", "depth"}));
    NeedleItem item;
    DSV_ASSIGN(const std::string document, reader.Text("document"));
    item.document = std::filesystem::path(path).parent_path() / document;
    DSV_ASSIGN(item.question, reader.Text("question"));
    DSV_ASSIGN(item.answer, reader.Text("answer"));
    DSV_ASSIGN(item.depth, reader.Fraction("depth"));
    items.push_back(std::move(item));
  }
  return items;
}

Status ParseGenerator(const Reader& reader, const Json& json, const std::string& path,
                      NeedleTask& task) {
  DSV_TRY(reader.CheckKeys({"name", "prompt", "match", "max_tokens", "thinking", "facts",
                            "questions", "keys", "value"}));
  DSV_ASSIGN(task.facts, reader.Templates("facts", {kKey, kValue}));
  DSV_ASSIGN(task.questions, reader.Templates("questions", {kKey}));
  DSV_ASSIGN(task.keys, reader.Lists("keys"));
  const Json value = json.value("value", Json::object());
  const Reader values(value, path + ": value");
  DSV_TRY(values.CheckKeys({"alphabet", "length"}));
  DSV_ASSIGN(task.alphabet, values.Text("alphabet"));
  for (const char c : task.alphabet) {
    if (c <= ' ' || c > '~') return Fail("{}: value: alphabet: expected visible ASCII", path);
  }
  if (task.alphabet.empty()) return Fail("{}: value: alphabet: expected characters", path);
  DSV_ASSIGN(task.value_length, values.Count("length", 1));
  return {};
}

}  // namespace

std::string ReplaceAll(std::string_view text, std::string_view name, std::string_view value) {
  std::string result;
  for (size_t at = text.find(name); at != std::string_view::npos; at = text.find(name)) {
    result.append(text.substr(0, at)).append(value);
    text.remove_prefix(at + name.size());
  }
  return result.append(text);
}

std::string NeedleTask::UpToDocument(std::string_view document) const {
  return std::string(prompt.substr(0, prompt.find(kDocument))).append(document);
}

std::string NeedleTask::Message(std::string_view document, std::string_view question) const {
  const std::string_view after =
      std::string_view(prompt).substr(prompt.find(kDocument) + kDocument.size());
  return UpToDocument(document).append(ReplaceAll(after, kQuestion, question));
}

bool NeedleTask::IsRight(std::string_view reply, std::string_view answer) const {
  reply = Trim(reply);
  answer = Trim(answer);
  switch (match) {
    case AnswerMatch::kExact:
      return reply == answer;
    case AnswerMatch::kPrefix:
      return reply.starts_with(answer);
    case AnswerMatch::kContains:
      return reply.find(answer) != std::string_view::npos;
  }
  return false;
}

Result<NeedleTask> ParseNeedleTask(std::string_view text, const std::string& path) {
  DSV_ASSIGN(const Json json, ParseJson(text, path));
  const Reader reader(json, path);
  if (!json.is_object()) return Fail("{}: expected a JSON object", path);
  NeedleTask task;
  DSV_ASSIGN(task.name, reader.Text("name"));
  DSV_ASSIGN(task.prompt, reader.Template("prompt", {kDocument, kQuestion}));
  if (task.prompt.find(kDocument) > task.prompt.find(kQuestion) ||
      task.prompt.find(kDocument) != task.prompt.rfind(kDocument)) {
    return Fail("{}: prompt: expected {} once, before {}", path, kDocument, kQuestion);
  }
  DSV_ASSIGN(const std::string match, reader.Text("match"));
  DSV_ASSIGN(task.match, ParseMatch(match, path));
  DSV_ASSIGN(task.max_tokens, reader.Count("max_tokens", task.max_tokens));
  DSV_ASSIGN(task.thinking, reader.Flag("thinking"));
  if (!reader.Has("items")) {
    DSV_TRY(ParseGenerator(reader, json, path, task));
    return task;
  }
  DSV_TRY(reader.CheckKeys({"name", "prompt", "match", "max_tokens", "thinking", "items"}));
  DSV_ASSIGN(task.items, ParseItems(json["items"], path));
  return task;
}

}  // namespace dsv::cli
