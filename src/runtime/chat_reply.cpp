// ReplyParser and Respond of the public header.
#include <utility>

#include "base/check.h"
#include "base/result.h"
#include "chat/literals.h"
#include "chat/parser.h"
#include "dsv4/dsv4.h"

namespace dsv4 {
namespace {

using dsv::Fail;

ReplyEvent::Kind Public(dsv::chat::ParseEvent::Kind kind) {
  switch (kind) {
    case dsv::chat::ParseEvent::Kind::kReasoning:
      return ReplyEvent::Kind::kReasoning;
    case dsv::chat::ParseEvent::Kind::kContent:
      return ReplyEvent::Kind::kContent;
    case dsv::chat::ParseEvent::Kind::kCallStart:
      return ReplyEvent::Kind::kCallStart;
    case dsv::chat::ParseEvent::Kind::kArguments:
      return ReplyEvent::Kind::kArguments;
    case dsv::chat::ParseEvent::Kind::kCallEnd:
      return ReplyEvent::Kind::kCallEnd;
  }
  return ReplyEvent::Kind::kContent;
}

dsv::chat::ParserOptions Internal(const ChatOptions& options) {
  const auto mode =
      options.thinking == Thinking::kNone ? dsv::chat::Mode::kChat : dsv::chat::Mode::kThinking;
  return {.mode = mode, .tolerant = true};
}

}  // namespace

struct ReplyParser::Impl {
  dsv::chat::CompletionParser parser;
  OnEvent on_event;

  void Emit(std::vector<dsv::chat::ParseEvent>& events) {
    if (!on_event) return;
    for (dsv::chat::ParseEvent& event : events) {
      on_event({Public(event.kind), std::move(event.text)});
    }
  }
};

ReplyParser::ReplyParser(const ChatOptions& options, OnEvent on_event)
    : impl_(new Impl{dsv::chat::CompletionParser(Internal(options)), std::move(on_event)}) {}
ReplyParser::ReplyParser(ReplyParser&&) noexcept = default;
ReplyParser& ReplyParser::operator=(ReplyParser&&) noexcept = default;
ReplyParser::~ReplyParser() = default;

void ReplyParser::Feed(std::string_view text) {
  std::vector<dsv::chat::ParseEvent> events;
  const Status status = impl_->parser.Feed(text, events);
  DSV_CHECK(status);  // the tolerant parser refuses nothing
  impl_->Emit(events);
}

ParsedReply ReplyParser::Finish() {
  std::vector<dsv::chat::ParseEvent> events;
  auto parsed = impl_->parser.Finish(events);
  DSV_CHECK(parsed);
  impl_->Emit(events);
  ParsedReply reply;
  reply.message.role = Role::kAssistant;
  reply.message.content = std::move(parsed->content);
  reply.message.reasoning = std::move(parsed->reasoning_content);
  for (dsv::chat::ParsedCall& call : parsed->tool_calls) {
    reply.message.tool_calls.push_back(
        {"", std::move(call.name), std::move(call.arguments), call.complete});
  }
  reply.repairs = std::move(parsed->notes);
  return reply;
}

Result<ChatReply> Respond(Session& session, std::span<const Message> messages,
                          const ChatOptions& chat, const GenerateOptions& options,
                          const std::function<bool(const ReplyEvent&)>& on_event) {
  if (session.tokenizer() == nullptr) {
    return Fail("chat: the checkpoint has no tokenizer.json to make text with");
  }
  const std::span<const TokenId> held = session.tokens();
  DSV_ASSIGN(ChatPrompt prompt, RenderChat(*session.tokenizer(), messages, chat, held));
  // Sampling needs the logits of the last token, so at least that one is fed.
  if (prompt.tokens.empty()) {
    --prompt.kept;
    prompt.tokens.push_back(held[static_cast<size_t>(prompt.kept)]);
  }
  DSV_TRY(session.RewindTo(prompt.kept, options.prompt_progress));
  bool go_on = true;
  const auto handle = [&](const ReplyEvent& event) {
    if (on_event && go_on) go_on = on_event(event);
  };
  // Only a prompt that ends in <think> makes the reply start with reasoning: the rest of a reply
  // and the answer to a task do not.
  const bool thinks = session.tokenizer()->FindAdded(dsv::chat::kThinkOpen) == prompt.tokens.back();
  ReplyParser parser(thinks ? chat : ChatOptions{}, handle);
  ChatReply reply;
  reply.kept_tokens = prompt.kept;
  DSV_ASSIGN(reply.generation,
             Generate(session, prompt.tokens, options, [&](std::string_view text) {
               parser.Feed(text);
               return go_on;
             }));
  ParsedReply parsed = parser.Finish();
  reply.message = std::move(parsed.message);
  reply.repairs = std::move(parsed.repairs);
  return reply;
}

}  // namespace dsv4
