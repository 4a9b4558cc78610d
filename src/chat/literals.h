// The texts that the chat format writes besides what people and models wrote: control tokens, DSML
// tags, and the fixed instructions of spec appendix B (interface constants of the model, upstream
// licence MIT). In the names of control tokens the bar is U+FF5C and the low line U+2581.
#pragma once

#include <array>
#include <string_view>

#define DSV_CHAT_BAR "\xEF\xBD\x9C"
#define DSV_CHAT_LOW "\xE2\x96\x81"
#define DSV_CHAT_DSML DSV_CHAT_BAR "DSML" DSV_CHAT_BAR

namespace dsv::chat {

// Control tokens: each is one added token of the tokenizer (spec 8.3).
inline constexpr std::string_view kBos =
    "<" DSV_CHAT_BAR "begin" DSV_CHAT_LOW "of" DSV_CHAT_LOW "sentence" DSV_CHAT_BAR ">";
inline constexpr std::string_view kEos =
    "<" DSV_CHAT_BAR "end" DSV_CHAT_LOW "of" DSV_CHAT_LOW "sentence" DSV_CHAT_BAR ">";
inline constexpr std::string_view kUserToken = "<" DSV_CHAT_BAR "User" DSV_CHAT_BAR ">";
inline constexpr std::string_view kAssistantToken = "<" DSV_CHAT_BAR "Assistant" DSV_CHAT_BAR ">";
inline constexpr std::string_view kReminderToken =
    "<" DSV_CHAT_BAR "latest_reminder" DSV_CHAT_BAR ">";
inline constexpr std::string_view kThinkOpen = "<think>";
inline constexpr std::string_view kThinkClose = "</think>";
inline constexpr std::string_view kDsml = DSV_CHAT_DSML;

struct TaskToken {
  std::string_view task;
  std::string_view token;
};
inline constexpr std::array<TaskToken, 6> kTaskTokens = {{
    {"action", "<" DSV_CHAT_BAR "action" DSV_CHAT_BAR ">"},
    {"query", "<" DSV_CHAT_BAR "query" DSV_CHAT_BAR ">"},
    {"authority", "<" DSV_CHAT_BAR "authority" DSV_CHAT_BAR ">"},
    {"domain", "<" DSV_CHAT_BAR "domain" DSV_CHAT_BAR ">"},
    {"title", "<" DSV_CHAT_BAR "title" DSV_CHAT_BAR ">"},
    {"read_url", "<" DSV_CHAT_BAR "read_url" DSV_CHAT_BAR ">"},
}};

// Tags of a tool call block. The attribute part and the closing ">" are left off where the
// published parser looks for the tag without them.
inline constexpr std::string_view kCallsOpen = "<" DSV_CHAT_DSML "tool_calls";
inline constexpr std::string_view kCallsClose = "</" DSV_CHAT_DSML "tool_calls>";
inline constexpr std::string_view kInvokeOpen = "<" DSV_CHAT_DSML "invoke";
inline constexpr std::string_view kInvokeClose = "</" DSV_CHAT_DSML "invoke";
inline constexpr std::string_view kParameterOpen = "<" DSV_CHAT_DSML "parameter";
inline constexpr std::string_view kParameterClose = "</" DSV_CHAT_DSML "parameter";

// Appendix B.1, before and after the schema lines.
inline constexpr std::string_view kToolsHead =
    R"(## Tools

You have access to a set of tools to help answer the user's question. You can invoke tools by writing a "<)" DSV_CHAT_DSML
    R"(tool_calls>" block like the following:

<)" DSV_CHAT_DSML R"(tool_calls>
<)" DSV_CHAT_DSML R"(invoke name="$TOOL_NAME">
<)" DSV_CHAT_DSML
    R"(parameter name="$PARAMETER_NAME" string="true|false">$PARAMETER_VALUE</)" DSV_CHAT_DSML
    R"(parameter>
...
</)" DSV_CHAT_DSML R"(invoke>
<)" DSV_CHAT_DSML R"(invoke name="$TOOL_NAME2">
...
</)" DSV_CHAT_DSML R"(invoke>
</)" DSV_CHAT_DSML
    R"(tool_calls>

String parameters should be specified as is and set `string="true"`. For all other types (numbers, booleans, arrays, objects), pass the value in JSON format and set `string="false"`.

If thinking_mode is enabled (triggered by <think>), you MUST output your complete reasoning inside <think>...</think> BEFORE any tool calls or final response.

Otherwise, output directly after </think> with tool calls or final response.

### Available Tool Schemas

)";
inline constexpr std::string_view kToolsTail =
    "\n\nYou MUST strictly follow the above defined tool name and parameter schemas to invoke tool "
    "calls.\n";

// Appendix B.2.
inline constexpr std::string_view kMaxEffort =
    R"(Reasoning Effort: Absolute maximum with no shortcuts permitted.
You MUST be very thorough in your thinking and comprehensively decompose the problem to resolve the root cause, rigorously stress-testing your logic against all potential paths, edge cases, and adversarial scenarios.
Explicitly write out your entire deliberation process, documenting every intermediate step, considered alternative, and rejected hypothesis to ensure absolutely no assumption is left unchecked.

)";

// Appendix B.3, before the JSON.
inline constexpr std::string_view kResponseFormat =
    R"(## Response Format:

You MUST strictly adhere to the following schema to reply:
)";

}  // namespace dsv::chat
