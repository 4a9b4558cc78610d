// A completion fed at once and in pieces: the same message, notes, or refusal; events that join to
// it; arguments that are JSON and no control tokens in the text in tolerant mode. The first byte
// chooses the mode, the second seeds the cuts.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.h"
#include "chat/literals.h"
#include "chat/message_builder.h"
#include "chat/parser.h"

namespace {

using dsv::chat::ParsedMessage;
using dsv::chat::ParseEvent;

void Require(bool holds) {
  if (!holds) std::abort();
}

void CheckEvents(const std::vector<ParseEvent>& events, const ParsedMessage& message) {
  std::string content;
  std::string reasoning;
  std::vector<std::string> arguments;
  for (const ParseEvent& event : events) {
    Require(!dsv::FindInvalidUtf8(event.text));
    switch (event.kind) {
      case ParseEvent::Kind::kReasoning:
        reasoning += event.text;
        break;
      case ParseEvent::Kind::kContent:
        content += event.text;
        break;
      case ParseEvent::Kind::kCallStart:
        arguments.emplace_back();
        break;
      case ParseEvent::Kind::kArguments:
        arguments.back() += event.text;
        break;
      case ParseEvent::Kind::kCallEnd:
        break;
    }
  }
  Require(content == message.content && reasoning == message.reasoning_content);
  Require(arguments.size() == message.tool_calls.size());
  for (size_t i = 0; i < arguments.size(); ++i) {
    Require(arguments[i] == message.tool_calls[i].arguments);
  }
}

void CheckTolerant(const ParsedMessage& message) {
  using namespace dsv::chat;
  for (const std::string_view token : {kBos, kEos, kThinkOpen, kThinkClose, kDsml}) {
    Require(message.content.find(token) == std::string::npos);
    Require(message.reasoning_content.find(token) == std::string::npos);
  }
  for (const ParsedCall& call : message.tool_calls) Require(IsJson(call.arguments));
}

// The outcome as one text, to compare.
std::string Parse(std::string_view text, dsv::chat::ParserOptions options, unsigned seed) {
  std::minstd_rand random(seed);
  dsv::chat::CompletionParser parser(options);
  std::vector<ParseEvent> events;
  for (size_t at = 0; at < text.size();) {
    const size_t piece = seed == 0 ? text.size() : 1 + random() % 7;
    if (!parser.Feed(text.substr(at, piece), events)) break;
    at += piece;
  }
  const auto message = parser.Finish(events);
  if (!message) return "error " + message.error().message;
  CheckEvents(events, *message);
  if (options.tolerant) CheckTolerant(*message);
  std::string outcome = message->content + '\0' + message->reasoning_content + '\0';
  for (const auto& call : message->tool_calls) {
    outcome += call.name + '\0' + call.arguments + '\0' + (call.complete ? '1' : '0');
  }
  for (const std::string& note : message->notes) outcome += note + '\0';
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  const auto mode = data[0] % 2 == 0 ? dsv::chat::Mode::kChat : dsv::chat::Mode::kThinking;
  for (const bool tolerant : {false, true}) {
    const dsv::chat::ParserOptions options{mode, tolerant};
    Require(Parse(text, options, 0) == Parse(text, options, 1U + data[1]));
  }
  return 0;
}
