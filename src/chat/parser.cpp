#include "chat/parser.h"

#include <utility>

#include "base/utf8.h"
#include "chat/message_builder.h"
#include "chat/parser_input.h"
#include "chat/strict_machine.h"
#include "chat/tolerant_machine.h"

namespace dsv::chat {

CompletionParser::CompletionParser(ParserOptions options)
    : options_(options),
      input_(std::make_unique<ParserInput>()),
      builder_(std::make_unique<MessageBuilder>(options.tolerant)) {
  if (options.tolerant) {
    tolerant_ = std::make_unique<TolerantMachine>(options.mode, *input_, *builder_);
  } else {
    const auto start = options.mode == Mode::kThinking ? StrictMachine::State::kReasoning
                                                       : StrictMachine::State::kContent;
    strict_ = std::make_unique<StrictMachine>(start, /*tolerant=*/false, *input_, *builder_);
  }
}

CompletionParser::~CompletionParser() = default;
CompletionParser::CompletionParser(CompletionParser&&) noexcept = default;
CompletionParser& CompletionParser::operator=(CompletionParser&&) noexcept = default;

// Hands whole characters on; keeps the start of one back. Wrong bytes become U+FFFD in tolerant
// mode and end the text in strict mode.
void CompletionParser::Decode(std::string_view bytes) {
  partial_ += bytes;
  size_t at = 0;
  while (at < partial_.size()) {
    const Utf8Sequence next = NextUtf8(std::string_view(partial_).substr(at));
    if (next.status == Utf8Status::kIncomplete && !input_->ended) break;
    if (next.status == Utf8Status::kValid) {
      input_->buffer.append(partial_, at, next.size);
    } else if (options_.tolerant) {
      replaced_ = true;
      input_->buffer += "\xEF\xBF\xBD";
    } else {
      break;
    }
    at += next.size;
  }
  partial_.erase(0, at);
  decoded_ += at;
}

Status CompletionParser::Run(std::vector<ParseEvent>& events) {
  builder_->SendTo(&events);
  Verdict verdict = Verdict::kGoOn;
  while (verdict == Verdict::kGoOn) verdict = strict_ ? strict_->Step() : tolerant_->Step();
  if (verdict == Verdict::kRefused) {
    error_ = fmt::format("completion: {} at byte {}", strict_->problem(), input_->Offset());
  }
  input_->Compact();
  if (!error_.empty()) return Fail("{}", error_);
  return {};
}

Status CompletionParser::Feed(std::string_view bytes, std::vector<ParseEvent>& events) {
  if (!error_.empty()) return Fail("{}", error_);
  Decode(bytes);
  DSV_TRY(Run(events));
  if (!partial_.empty() && NextUtf8(partial_).status == Utf8Status::kInvalid) {
    error_ = fmt::format("completion: invalid UTF-8 at byte {}", decoded_);
    return Fail("{}", error_);
  }
  return {};
}

Result<ParsedMessage> CompletionParser::Finish(std::vector<ParseEvent>& events) {
  if (!error_.empty()) return Fail("{}", error_);
  input_->ended = true;
  Decode("");
  if (!partial_.empty()) return Fail("completion: invalid UTF-8 at byte {}", decoded_);
  DSV_TRY(Run(events));
  if (replaced_) builder_->Note("invalid UTF-8 replaced");
  return builder_->Take();
}

Result<ParsedMessage> ParseCompletion(std::string_view text, ParserOptions options) {
  CompletionParser parser(options);
  std::vector<ParseEvent> events;
  DSV_TRY(parser.Feed(text, events));
  return parser.Finish(events);
}

}  // namespace dsv::chat
