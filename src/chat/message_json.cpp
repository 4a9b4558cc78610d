#include "chat/message_json.h"

#include <algorithm>
#include <array>
#include <utility>

namespace dsv::chat {
namespace {

struct RoleName {
  std::string_view name;
  Role role;
};
constexpr std::array<RoleName, 7> kRoles = {{{"system", Role::kSystem},
                                             {"developer", Role::kDeveloper},
                                             {"user", Role::kUser},
                                             {"assistant", Role::kAssistant},
                                             {"tool", Role::kTool},
                                             {"latest_reminder", Role::kLatestReminder},
                                             {"direct_search_results", Role::kSearchResults}}};

bool Truthy(const JsonValue* value) { return value != nullptr && value->Truthy(); }

// The text under `key`, empty if it is absent or, for roles that allow it, null or another empty
// value.
Result<std::string> Text(const JsonValue& message, std::string_view key, bool null_is_empty) {
  const JsonValue* value = message.Find(key);
  if (value == nullptr || (null_is_empty && !value->Truthy())) return std::string();
  if (const std::string* text = value->string()) return *text;
  return Fail("{}: expected a string, found {}", key, value->KindName());
}

// The content of a tool message given as a list of parts.
Result<std::string> JoinParts(const JsonValue::Array& parts) {
  std::string joined;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) joined += "\n\n";
    if (parts[i].object() == nullptr) {
      return Fail("content[{}]: expected an object, found {}", i, parts[i].KindName());
    }
    const JsonValue* type = parts[i].Find("type");
    const std::string* name = type != nullptr ? type->string() : nullptr;
    if (name == nullptr && type != nullptr && !type->is_null()) {
      return Fail("content[{}].type: expected a string, found {}", i, type->KindName());
    }
    if (name != nullptr && *name == "text") {
      DSV_ASSIGN(const std::string text, Text(parts[i], "text", false));
      joined += text;
    } else {
      joined += "[Unsupported " + (name != nullptr ? *name : "None") + "]";
    }
  }
  return joined;
}

Result<std::string> Content(const JsonValue& message, Role role) {
  const JsonValue* value = message.Find("content");
  if (role == Role::kTool && value != nullptr && value->array() != nullptr) {
    return JoinParts(*value->array());
  }
  if (role == Role::kLatestReminder && value == nullptr) {
    return Fail("content: expected a string, found none");
  }
  const bool null_is_empty = role == Role::kSystem || role == Role::kDeveloper ||
                             role == Role::kAssistant || role == Role::kUnknown ||
                             role == Role::kSearchResults;
  return Text(message, "content", null_is_empty);
}

// An id is compared, never rendered: any JSON value will do.
std::string Id(const JsonValue* value) {
  if (!Truthy(value)) return {};
  return value->string() != nullptr ? *value->string() : ToJson(*value);
}

Result<ToolCall> CallFromJson(const JsonValue& value) {
  const JsonValue* function = value.Find("function");
  if (function == nullptr || function->object() == nullptr) {
    return Fail("function: expected an object, found {}",
                function == nullptr ? "none" : function->KindName());
  }
  const JsonValue* name = function->Find("name");
  if (name == nullptr || name->string() == nullptr) {
    return Fail("function.name: expected a string, found {}",
                name == nullptr ? "none" : name->KindName());
  }
  const JsonValue* arguments = function->Find("arguments");
  if (arguments == nullptr) return Fail("function.arguments: expected a JSON text, found none");
  ToolCall call;
  call.id = Id(value.Find("id"));
  if (call.id.empty()) call.id = Id(function->Find("id"));
  call.name = *name->string();
  // Arguments that are not a text are rendered as one parameter of that name.
  call.arguments = arguments->string() != nullptr ? *arguments->string()
                                                  : "{\"arguments\": " + ToJson(*arguments) + "}";
  return call;
}

Result<std::vector<ToolCall>> Calls(const JsonValue& value) {
  if (value.array() == nullptr) {
    return Fail("tool_calls: expected an array, found {}", value.KindName());
  }
  std::vector<ToolCall> calls;
  for (const JsonValue& item : *value.array()) {
    auto call = CallFromJson(item);
    if (!call) return Fail("tool_calls[{}].{}", calls.size(), call.error().message);
    calls.push_back(*std::move(call));
  }
  return calls;
}

Result<std::vector<JsonValue>> Tools(const JsonValue& value) {
  if (value.array() == nullptr) return Fail("tools: expected an array, found {}", value.KindName());
  std::vector<JsonValue> tools;
  for (const JsonValue& tool : *value.array()) {
    const JsonValue* function = tool.Find("function");
    if (function == nullptr)
      return Fail("tools[{}].function: expected an object, found none", tools.size());
    tools.push_back(*function);
  }
  return tools;
}

// User and tool turns lose these fields in merging, so what they hold is not looked at.
Status ReadExtras(const JsonValue& value, Message& message) {
  if (const JsonValue* calls = value.Find("tool_calls"); Truthy(calls)) {
    DSV_ASSIGN(message.tool_calls, Calls(*calls));
  }
  if (const JsonValue* tools = value.Find("tools"); Truthy(tools)) {
    DSV_ASSIGN(message.tools, Tools(*tools));
  }
  if (const JsonValue* format = value.Find("response_format"); Truthy(format)) {
    message.response_format = *format;
  }
  DSV_ASSIGN(message.reasoning_content, Text(value, "reasoning_content", true));
  return {};
}

Result<bool> Flag(const JsonValue& options, std::string_view key, bool otherwise) {
  const JsonValue* value = options.Find(key);
  if (value == nullptr) return otherwise;
  if (const bool* flag = value->boolean()) return *flag;
  return Fail("options.{}: expected a boolean, found {}", key, value->KindName());
}

Result<Effort> EffortFromJson(const JsonValue& options) {
  const JsonValue* value = options.Find("reasoning_effort");
  if (value == nullptr || value->is_null()) return Effort::kNone;
  const std::string* name = value->string();
  if (name != nullptr && *name == "high") return Effort::kHigh;
  if (name != nullptr && *name == "max") return Effort::kMax;
  return Fail("options.reasoning_effort: expected \"high\", \"max\" or null, found {}",
              ToJson(*value));
}

Result<RenderOptions> OptionsFromJson(const JsonValue& value) {
  RenderOptions options;
  DSV_ASSIGN(options.mode, ModeFromJson(value));
  DSV_ASSIGN(options.drop_thinking, Flag(value, "drop_thinking", true));
  DSV_ASSIGN(options.add_bos, Flag(value, "add_bos", true));
  DSV_ASSIGN(options.effort, EffortFromJson(value));
  return options;
}

}  // namespace

Result<Message> MessageFromJson(const JsonValue& value) {
  if (value.object() == nullptr) return Fail("expected an object, found {}", value.KindName());
  Message message;
  DSV_ASSIGN(message.role_name, Text(value, "role", true));
  const auto* role = std::find_if(kRoles.begin(), kRoles.end(), [&](const RoleName& known) {
    return known.name == message.role_name;
  });
  message.role = role == kRoles.end() ? Role::kUnknown : role->role;
  DSV_ASSIGN(message.content, Content(value, message.role));
  if (message.role == Role::kTool) {
    message.tool_call_id = Id(value.Find("tool_call_id"));
    return message;
  }
  if (message.role != Role::kUser) DSV_TRY(ReadExtras(value, message));
  if (const JsonValue* task = value.Find("task"); task != nullptr && !task->is_null()) {
    message.task = task->string() != nullptr ? *task->string() : ToJson(*task);
  }
  message.without_eos = Truthy(value.Find("wo_eos"));
  return message;
}

Result<std::vector<Message>> MessagesFromJson(const JsonValue& value, std::string_view name) {
  if (value.array() == nullptr)
    return Fail("{}: expected an array, found {}", name, value.KindName());
  std::vector<Message> messages;
  for (const JsonValue& item : *value.array()) {
    if (item.object() == nullptr) {
      return Fail("{}[{}]: expected an object, found {}", name, messages.size(), item.KindName());
    }
    auto message = MessageFromJson(item);
    if (!message) return Fail("{}[{}].{}", name, messages.size(), message.error().message);
    messages.push_back(*std::move(message));
  }
  return messages;
}

Result<Mode> ModeFromJson(const JsonValue& options) {
  const JsonValue* value = options.Find("mode");
  const std::string* name = value != nullptr ? value->string() : nullptr;
  if (name != nullptr && *name == "chat") return Mode::kChat;
  if (name != nullptr && *name == "thinking") return Mode::kThinking;
  return Fail("options.mode: expected \"chat\" or \"thinking\", found {}",
              value == nullptr ? "none" : ToJson(*value));
}

Result<RenderRequest> RenderRequestFromJson(const JsonValue& value) {
  const JsonValue* messages = value.Find("messages");
  if (messages == nullptr) return Fail("messages: expected an array, found none");
  const JsonValue* options = value.Find("options");
  if (options == nullptr) return Fail("options: expected an object, found none");
  RenderRequest request;
  DSV_ASSIGN(request.options, OptionsFromJson(*options));
  DSV_ASSIGN(request.messages, MessagesFromJson(*messages, "messages"));
  if (const JsonValue* context = value.Find("context"); context != nullptr && !context->is_null()) {
    DSV_ASSIGN(request.context, MessagesFromJson(*context, "context"));
  }
  if (const JsonValue* tools = value.Find("tools"); tools != nullptr && !tools->is_null()) {
    DSV_ASSIGN(std::vector<JsonValue> functions, Tools(*tools));
    if (request.messages.empty())
      return Fail("tools: expected a first message to take them, found none");
    const Role role = request.messages.front().role;
    if (role != Role::kUser && role != Role::kTool)
      request.messages.front().tools = std::move(functions);
  }
  return request;
}

}  // namespace dsv::chat
