// Takes apart what a model generated after the opener: reasoning, content and tool calls (spec 10),
// while it is being generated.
//
// Bytes may arrive cut anywhere. The events, joined, and the final message or refusal are the same
// for every way of cutting; nothing handed out is taken back, and no piece ends inside a character:
// text that may still turn out to be markup is held back until it is decided. Time is linear.
//
// Strict accepts exactly what the published parser accepts, with the same result. Tolerant is for
// what models really emit: it never refuses, keeps markup out of content, and says in `notes`
// whatever it repaired. It goes on where strict would refuse:
// - text without end of sentence, or with more text after it (which is ignored);
// - reasoning that never closes is all reasoning; a tool call block inside it closes it;
// - stray <think>, </think>, DSML tags and closers are removed; an opening <think> at the start of
//   content reads as reasoning;
// - DSML tags with other bars (doubled, ASCII, none) or spaces, tool_call and function_calls as
// names
//   of the block, no blank line before it, no block around an invoke, plain tags inside a block;
// - smart, single, escaped and missing quotes; a missing or unknown string= (a value that is JSON
// is
//   taken as JSON, any other as a string); a JSON object in place of parameters;
// - of parameters with the same name the first is kept;
// - a value with string="false" that is not JSON becomes a string (Python's True, False and None
//   become true, false and null), so that arguments are always JSON;
// - a block cut off keeps what is complete: a string value keeps the part that arrived, another
// value
//   is left out, a call without its full name is left out; such calls are marked incomplete;
// - other text inside a call is left out, and the call and all after it are marked incomplete: a
// value
//   may have ended at a forged end tag.
// Inside a value opened by an undamaged tag only what the published parser takes for its end is
// one; a parameter opened by a damaged tag ends at any tag of that kind. Where strict accepts,
// tolerant gives the same message, except that it repairs invalid JSON values and takes the damaged
// DSML tags above, which strict would leave in content, for tags.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "chat/message.h"

namespace dsv::chat {

struct ParseEvent {
  enum class Kind : uint8_t {
    kReasoning,  // text: a piece of the reasoning
    kContent,    // text: a piece of the content
    kCallStart,  // text: the name of the function
    kArguments,  // text: a piece of the arguments of the call started last
    kCallEnd,
  };
  Kind kind;
  std::string text;

  friend bool operator==(const ParseEvent&, const ParseEvent&) = default;
};

struct ParsedCall {
  std::string name;
  std::string arguments;  // JSON text; strict inserts values with string="false" unchecked
  bool complete = true;   // false: the completion ended before the call did, or, in tolerant mode,
                          // part of it could not be read: not to be carried out unseen
};

struct ParsedMessage {
  std::string content;
  std::string reasoning_content;
  std::vector<ParsedCall> tool_calls;
  std::vector<std::string>
      notes;  // tolerant: the repairs, each kind once; empty if there were none
};

struct ParserOptions {
  Mode mode = Mode::kThinking;
  bool tolerant = false;
};

class MessageBuilder;
class TolerantMachine;
class StrictMachine;
struct ParserInput;

// One completion. Not for use by two threads at once.
class CompletionParser {
 public:
  explicit CompletionParser(ParserOptions options);
  ~CompletionParser();
  CompletionParser(CompletionParser&&) noexcept;
  CompletionParser& operator=(CompletionParser&&) noexcept;

  // Appends the events that `bytes` decide. Fails, from then on always with the same error, as soon
  // as strict can only refuse.
  Status Feed(std::string_view bytes, std::vector<ParseEvent>& events);

  // Says that the completion ended. Call it once, last.
  Result<ParsedMessage> Finish(std::vector<ParseEvent>& events);

 private:
  Status Run(std::vector<ParseEvent>& events);
  void Decode(std::string_view bytes);

  ParserOptions options_;
  std::unique_ptr<ParserInput> input_;
  std::unique_ptr<MessageBuilder> builder_;
  std::unique_ptr<StrictMachine> strict_;      // null in tolerant mode
  std::unique_ptr<TolerantMachine> tolerant_;  // null in strict mode
  std::string partial_;                        // the start of a character
  size_t decoded_ = 0;                         // bytes of the completion before partial_
  bool replaced_ = false;                      // some of them were no UTF-8
  std::string error_;                          // empty: not refused
};

// The whole text at once.
Result<ParsedMessage> ParseCompletion(std::string_view text, ParserOptions options);

}  // namespace dsv::chat
