// Reads conversations from the OpenAI-like JSON of requests and files (fixtures: one object
// {"messages", "tools"?, "context"?, "options"} per line).
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "chat/json_text.h"
#include "chat/message.h"

namespace dsv::chat {

struct RenderRequest {
  std::vector<Message> messages;
  std::vector<Message> context;
  RenderOptions options;
};

// Null where the published encoder would print Python's "None", and types that it would print as
// Python, are refused. Unknown keys are ignored.
Result<Message> MessageFromJson(const JsonValue& value);

// `name` names the list in errors.
Result<std::vector<Message>> MessagesFromJson(const JsonValue& value, std::string_view name);

Result<Mode> ModeFromJson(const JsonValue& options);

// `tools` beside `messages` become the tools of the first message.
Result<RenderRequest> RenderRequestFromJson(const JsonValue& value);

}  // namespace dsv::chat
