// RenderChat of the public header.
#include <algorithm>
#include <utility>

#include "base/result.h"
#include "base/utf8.h"
#include "chat/render.h"
#include "dsv4/dsv4.h"

namespace dsv4 {
namespace {

using dsv::Fail;
using dsv::chat::JsonValue;
using dsv::chat::Segment;

dsv::chat::Role InternalRole(Role role) {
  switch (role) {
    case Role::kSystem:
      return dsv::chat::Role::kSystem;
    case Role::kDeveloper:
      return dsv::chat::Role::kDeveloper;
    case Role::kUser:
      return dsv::chat::Role::kUser;
    case Role::kAssistant:
      return dsv::chat::Role::kAssistant;
    case Role::kTool:
      return dsv::chat::Role::kTool;
    case Role::kLatestReminder:
      return dsv::chat::Role::kLatestReminder;
  }
  return dsv::chat::Role::kUnknown;
}

// The function objects of a list of tools, each bare or inside {"type": "function", "function"}.
Result<std::vector<JsonValue>> ReadTools(std::string_view json) {
  std::vector<JsonValue> tools;
  if (json.empty()) return tools;
  DSV_ASSIGN(const JsonValue list, dsv::chat::ReadJson(json, "tools"));
  if (list.array() == nullptr) {
    return Fail("tools: expected a JSON array, found {}", list.KindName());
  }
  for (const JsonValue& tool : *list.array()) {
    const JsonValue* function = tool.Find("function");
    if (function == nullptr) function = &tool;
    if (function->object() == nullptr) {
      return Fail("tools[{}]: expected an object, found {}", tools.size(), function->KindName());
    }
    tools.push_back(*function);
  }
  return tools;
}

Status CheckUtf8(std::string_view field, std::string_view text) {
  if (const auto offset = dsv::FindInvalidUtf8(text)) {
    return Fail("{}: expected UTF-8, found an ill-formed sequence at byte {}", field, *offset);
  }
  return {};
}

Status CheckTexts(const Message& message) {
  DSV_TRY(CheckUtf8("content", message.content));
  DSV_TRY(CheckUtf8("reasoning", message.reasoning));
  DSV_TRY(CheckUtf8("task", message.task));
  for (const ToolCall& call : message.tool_calls) {
    DSV_TRY(CheckUtf8("tool_calls.name", call.name));
    DSV_TRY(CheckUtf8("tool_calls.arguments", call.arguments));
  }
  return {};
}

Result<dsv::chat::Message> Internal(const Message& message) {
  DSV_TRY(CheckTexts(message));
  dsv::chat::Message internal;
  internal.role = InternalRole(message.role);
  internal.content = message.content;
  internal.reasoning_content = message.reasoning;
  for (const ToolCall& call : message.tool_calls) {
    internal.tool_calls.push_back({call.id, call.name, call.arguments});
  }
  internal.tool_call_id = message.tool_call_id;
  DSV_ASSIGN(internal.tools, ReadTools(message.tools));
  if (!message.response_format.empty()) {
    DSV_ASSIGN(internal.response_format,
               dsv::chat::ReadJson(message.response_format, "response_format"));
  }
  if (!message.task.empty()) internal.task = message.task;
  internal.without_eos = message.unfinished;
  return internal;
}

dsv::chat::RenderOptions Internal(const ChatOptions& options) {
  dsv::chat::RenderOptions internal;
  internal.mode =
      options.thinking == Thinking::kNone ? dsv::chat::Mode::kChat : dsv::chat::Mode::kThinking;
  internal.effort =
      options.thinking == Thinking::kMax ? dsv::chat::Effort::kMax : dsv::chat::Effort::kNone;
  internal.drop_thinking = !options.keep_reasoning;
  return internal;
}

// Walks through the rendered segments and the held tokens side by side.
class PromptBuilder {
 public:
  PromptBuilder(const Tokenizer& tokenizer, std::span<const TokenId> held)
      : tokenizer_(tokenizer), held_(held) {}

  Status Add(const Segment& segment) {
    return segment.control ? AddControl(segment.text) : AddText(segment.text);
  }

  ChatPrompt Take() { return {static_cast<int64_t>(kept_), std::move(tokens_)}; }

 private:
  bool matching() const { return tokens_.empty(); }

  Status AddControl(const std::string& literal) {
    const std::optional<TokenId> id = tokenizer_.FindAdded(literal);
    if (!id) return Fail("tokenizer: expected the control token {}, found none", literal);
    if (matching() && kept_ < held_.size() && held_[kept_] == *id) {
      ++kept_;
    } else {
      tokens_.push_back(*id);
    }
    return {};
  }

  Status AddText(std::string_view text) {
    const std::span<const TokenId> run = matching() ? HeldText() : std::span<const TokenId>();
    std::string run_text;
    if (!run.empty()) {
      DSV_ASSIGN(const std::string bytes, tokenizer_.Decode(run));
      run_text = dsv::RepairUtf8(bytes);  // as a reader of the reply got it
      if (run_text == text) {
        kept_ += run.size();
        return {};
      }
    }
    DSV_ASSIGN(std::vector<TokenId> tokens, tokenizer_.Encode(text, /*match_added=*/false));
    size_t common = static_cast<size_t>(
        std::mismatch(run.begin(), run.end(), tokens.begin(), tokens.end()).first - run.begin());
    if (common < run.size() && kept_ + run.size() == held_.size() && text.starts_with(run_text)) {
      // The session ends inside this text, at another place than the encoder would cut.
      DSV_ASSIGN(tokens, tokenizer_.Encode(text.substr(run_text.size()), /*match_added=*/false));
      kept_ += run.size();
      common = 0;
    } else {
      kept_ += common;
    }
    tokens_.insert(tokens_.end(), tokens.begin() + static_cast<ptrdiff_t>(common), tokens.end());
    return {};
  }

  // The held tokens up to the next control token.
  std::span<const TokenId> HeldText() const {
    const std::span<const TokenId> rest = held_.subspan(kept_);
    const auto end = std::find_if(rest.begin(), rest.end(),
                                  [&](TokenId token) { return tokenizer_.IsAdded(token); });
    return rest.first(static_cast<size_t>(end - rest.begin()));
  }

  const Tokenizer& tokenizer_;
  std::span<const TokenId> held_;
  size_t kept_ = 0;              // of held_
  std::vector<TokenId> tokens_;  // empty as long as held_ matches
};

}  // namespace

Result<ChatPrompt> RenderChat(const Tokenizer& tokenizer, std::span<const Message> messages,
                              const ChatOptions& options, std::span<const TokenId> held) {
  std::vector<dsv::chat::Message> conversation;
  for (const Message& message : messages) {
    auto internal = Internal(message);
    if (!internal) {
      return Fail("messages[{}].{}", conversation.size(), internal.error().message);
    }
    conversation.push_back(*std::move(internal));
  }
  DSV_ASSIGN(const std::vector<Segment> segments,
             dsv::chat::Render(conversation, Internal(options)));
  PromptBuilder builder(tokenizer, held);
  for (const Segment& segment : segments) DSV_TRY(builder.Add(segment));
  return builder.Take();
}

}  // namespace dsv4
