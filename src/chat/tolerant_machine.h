// The repairing parser: reads text by itself, tool call blocks with the strict machine for as long
// as that does not refuse, and what it refuses by searching for the next tag (parser.h lists the
// repairs).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "chat/message_builder.h"
#include "chat/parser_input.h"
#include "chat/strict_machine.h"
#include "chat/tag.h"

namespace dsv::chat {

class TolerantMachine {
 public:
  TolerantMachine(Mode mode, ParserInput& input, MessageBuilder& builder)
      : reasoning_(mode == Mode::kThinking), input_(input), out_(builder) {}

  // Never refuses.
  Verdict Step();

 private:
  enum class State : uint8_t {
    kText,          // reasoning or content
    kTagRest,       // attributes of a tag that is removed
    kBlock,         // between calls
    kInvokeTag,     // attributes of an invoke
    kCall,          // between parameters
    kParameterTag,  // attributes of a parameter
    kValue,
    kEnd,  // after the end of sentence
  };
  enum class ValueKind : uint8_t { kString, kJson, kInferred, kDiscarded };

  // A control token or a tag of the text, or where more input has to come first.
  struct Markup {
    Match match = Match::kNone;
    size_t at = 0;
    size_t size = 0;
    std::string_view control;  // empty: it is `tag`
    Tag tag;
  };

  Verdict StrictBlock();
  Verdict Text();
  Verdict TagRest();
  Verdict Block();
  Verdict InvokeTag();
  Verdict Call();
  Verdict ParameterTag();
  Verdict Value();
  Verdict End();

  static Markup MarkupAt(std::string_view text, size_t at, bool plain, bool ended);
  static Markup FindMarkup(std::string_view text, size_t from, bool plain, bool ended);
  Verdict TextMarkup(const Markup& found);
  Verdict OpenBlock(const Markup& found);
  void EmitText(std::string_view text);
  void CloseSeam();
  void LeaveBlock();
  Verdict RemoveTag(State back, std::string_view note);
  Verdict EndOfCall(bool complete);
  Verdict CallTag(const Tag& tag);
  void EndStrayText(bool at_end);
  Verdict EnterParameter(bool dsml, bool exact);
  void EmitValue(std::string_view piece);
  void EndValue();
  Verdict CutValue();

  Verdict Enter(State state, size_t use) {
    state_ = state;
    input_.Use(use);
    return Verdict::kGoOn;
  }
  Verdict WaitOrGoOn() const { return input_.ended ? Verdict::kGoOn : Verdict::kWait; }

  State state_ = State::kText;
  State back_ = State::kText;  // where kTagRest goes
  bool reasoning_;
  bool left_reasoning_ = false;  // the current block began inside reasoning
  bool after_calls_ = false;     // text here comes after a block; white space is not text
  bool seam_ = false;            // markup was removed since the last text
  size_t calls_in_block_ = 0;
  std::optional<StrictMachine> strict_;  // reads the current block
  std::string stray_;                    // text between the parameters of a call
  ValueKind value_kind_ = ValueKind::kString;
  bool plain_value_ = false;  // opened by a tag without DSML
  bool exact_value_ = false;  // opened by an undamaged tag: only such a tag ends it
  bool suspect_ = false;      // calls from here on may not be what the model meant
  std::string key_;
  std::string inferred_;  // the value of an inferred kind
  ParserInput& input_;
  MessageBuilder& out_;
};

}  // namespace dsv::chat
