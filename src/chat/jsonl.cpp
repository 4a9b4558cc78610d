#include "chat/jsonl.h"

#include <algorithm>
#include <vector>

#include "chat/json_text.h"
#include "chat/message_json.h"
#include "chat/parser.h"
#include "chat/render.h"

namespace dsv::chat {
namespace {

std::string Line(std::string_view key, std::string_view text) {
  std::string line = "{";
  AppendQuoted(key, line);
  line += ": ";
  AppendQuoted(text, line);
  return line + "}";
}

Result<std::string> RenderedText(std::string_view line) {
  DSV_ASSIGN(const JsonValue value, ReadJson(line, "line"));
  DSV_ASSIGN(const RenderRequest request, RenderRequestFromJson(value));
  DSV_ASSIGN(const std::vector<Segment> segments,
             Render(request.messages, request.options, request.context));
  return Join(segments);
}

Result<ParsedMessage> ParsedText(std::string_view line, size_t feed, bool tolerant) {
  DSV_ASSIGN(const JsonValue value, ReadJson(line, "line"));
  const JsonValue* text = value.Find("text");
  if (text == nullptr || text->string() == nullptr) {
    return Fail("text: expected a string, found {}", text == nullptr ? "none" : text->KindName());
  }
  const JsonValue* options = value.Find("options");
  if (options == nullptr) return Fail("options: expected an object, found none");
  DSV_ASSIGN(const Mode mode, ModeFromJson(*options));
  CompletionParser parser({mode, tolerant});
  std::vector<ParseEvent> events;
  const std::string_view bytes = *text->string();
  const size_t step = feed == 0 ? bytes.size() + 1 : feed;
  for (size_t at = 0; at < bytes.size(); at += step) {
    events.clear();
    DSV_TRY(parser.Feed(bytes.substr(at, step), events));
  }
  return parser.Finish(events);
}

void AppendCall(const ParsedCall& call, std::string& out) {
  out += R"({"type": "function", "function": {"name": )";
  AppendQuoted(call.name, out);
  out += ", \"arguments\": ";
  AppendQuoted(call.arguments, out);
  out += "}";
}

std::string MessageLine(const ParsedMessage& message, bool tolerant) {
  std::string out = R"({"role": "assistant", "content": )";
  AppendQuoted(message.content, out);
  out += ", \"reasoning_content\": ";
  AppendQuoted(message.reasoning_content, out);
  out += ", \"tool_calls\": [";
  for (const ParsedCall& call : message.tool_calls) {
    if (&call != &message.tool_calls.front()) out += ", ";
    AppendCall(call, out);
    out += tolerant && !call.complete ? ", \"complete\": false}" : "}";
  }
  out += ']';
  if (!message.notes.empty()) {
    JsonValue::Array notes(message.notes.begin(), message.notes.end());
    out += ", \"notes\": " + ToJson(JsonValue(std::move(notes)));
  }
  return out + '}';
}

}  // namespace

std::string RenderLine(std::string_view line) {
  const Result<std::string> text = RenderedText(line);
  return text ? Line("text", *text) : Line("error", text.error().message);
}

std::string ParseLine(std::string_view line, size_t feed, bool tolerant) {
  const Result<ParsedMessage> message = ParsedText(line, feed, tolerant);
  return message ? MessageLine(*message, tolerant) : Line("error", message.error().message);
}

}  // namespace dsv::chat
