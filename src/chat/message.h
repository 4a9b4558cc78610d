// A conversation as the renderer takes it, free of JSON framing. message_json.h reads it from the
// OpenAI-like objects of requests and files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "chat/json_text.h"

namespace dsv::chat {

enum class Role : uint8_t {
  kSystem,
  kDeveloper,
  kUser,
  kAssistant,
  kTool,  // the result of a call
  kLatestReminder,
  kSearchResults,  // "direct_search_results": survives dropping, cannot be rendered
  kUnknown,        // removed by dropping, else an error
};

struct ToolCall {
  std::string id;  // empty: none
  std::string name;
  std::string arguments;  // JSON text of an object; any other text becomes one string parameter
};

struct Message {
  Role role = Role::kUser;
  std::string role_name;  // of kUnknown, for the error
  std::string content;
  std::string reasoning_content;
  std::vector<ToolCall> tool_calls;
  std::string tool_call_id;      // of kTool: which call this answers
  std::vector<JsonValue> tools;  // the function objects, without the {"type", "function"} wrapper
  std::optional<JsonValue> response_format;
  std::optional<std::string> task;  // a quick instruction, see kTaskTokens
  bool without_eos = false;         // the turn goes on: no end of sentence after it
};

// How the completion starts: directly with the answer, or with reasoning.
enum class Mode : uint8_t { kChat, kThinking };

enum class Effort : uint8_t { kNone, kHigh, kMax };

struct RenderOptions {
  Mode mode = Mode::kThinking;
  // Leave out the reasoning of answers before the last user turn. Off by itself when tools are
  // there.
  bool drop_thinking = true;
  bool add_bos = true;
  Effort effort = Effort::kNone;
};

}  // namespace dsv::chat
