// The published parser as a state machine (spec 10). It refuses at the first byte after which the
// published parser could not accept any continuation, and leaves input and state as they were
// there, so that a tolerant parser can go on from that place.
#pragma once

#include <string>
#include <string_view>

#include "chat/message_builder.h"
#include "chat/parser_input.h"

namespace dsv::chat {

enum class Verdict : uint8_t {
  kGoOn,     // call again
  kWait,     // needs more input
  kDone,     // the completion ended well
  kRefused,  // see problem()
};

class StrictMachine {
 public:
  enum class State : uint8_t {
    kReasoning,
    kContent,
    kBlock,        // after "<DSML tool_calls" or "</DSML invoke"
    kInvokeStart,  // after "<DSML invoke"
    kInvoke,       // after that and ` name="`
    kParameter,    // after "<DSML parameter"
    kValue,        // after ` name="KEY" string="..">`
    kValueEnd,     // after "/DSML parameter"
    kAfterBlock,   // after "</DSML tool_calls>"
    kAfterEos,
  };

  StrictMachine(State state, bool tolerant, ParserInput& input, MessageBuilder& builder)
      : state_(state), tolerant_(tolerant), input_(input), out_(builder) {}

  Verdict Step();

  State state() const { return state_; }
  std::string_view problem() const { return problem_; }

 private:
  Verdict Text(bool reasoning);
  Verdict Block();
  Verdict InvokeStart();
  Verdict Invoke();
  Verdict Parameter();
  Verdict Value();
  Verdict ValueEnd();
  Verdict AfterBlock();

  Verdict Refuse(std::string_view problem) {
    problem_ = problem;
    return Verdict::kRefused;
  }
  Verdict Enter(State state, size_t use) {
    state_ = state;
    input_.Use(use);
    return Verdict::kGoOn;
  }

  State state_;
  bool tolerant_;  // hold an end of sentence inside a value: at the very end it is none of it
  ParserInput& input_;
  MessageBuilder& out_;
  size_t name_at_ = 0;  // in kInvoke: where the name starts
  std::string_view problem_;
};

}  // namespace dsv::chat
