#include "chat/strict_machine.h"

#include <algorithm>
#include <array>

#include "chat/literals.h"
#include "chat/white_space.h"

namespace dsv::chat {
namespace {

constexpr std::string_view kCallsStart = "\n\n<" DSV_CHAT_DSML "tool_calls";
constexpr std::string_view kNameStart = " name=\"";
// What ends a value: "/DSML parameter" right after "<", one newline between them being tolerated.
constexpr std::string_view kValueStop = "/" DSV_CHAT_DSML "parameter";
constexpr std::string_view kBrokenValueStop = "<\n/" DSV_CHAT_DSML "parameter";

// Fails to match, may match, or matches one of two continuations.
Found MatchEither(std::string_view rest, std::string_view a, std::string_view b, bool ended) {
  const Match first = MatchLiteral(rest, a, ended);
  if (first == Match::kFull) return {first, 0, 0};
  const Match second = MatchLiteral(rest, b, ended);
  if (second == Match::kFull) return {second, 0, 1};
  const bool partial = first == Match::kPartial || second == Match::kPartial;
  return {partial ? Match::kPartial : Match::kNone, 0, 0};
}

}  // namespace

Verdict StrictMachine::Step() {
  switch (state_) {
    case State::kReasoning:
      return Text(/*reasoning=*/true);
    case State::kContent:
      return Text(/*reasoning=*/false);
    case State::kBlock:
      return Block();
    case State::kInvokeStart:
      return InvokeStart();
    case State::kInvoke:
      return Invoke();
    case State::kParameter:
      return Parameter();
    case State::kValue:
      return Value();
    case State::kValueEnd:
      return ValueEnd();
    case State::kAfterBlock:
      return AfterBlock();
    case State::kAfterEos:
      break;
  }
  if (!input_.Rest().empty()) return Refuse("text after the end of sentence");
  return input_.ended ? Verdict::kDone : Verdict::kWait;
}

Verdict StrictMachine::Text(bool reasoning) {
  // The first two end the text; the others may not be in it.
  const std::array<std::string_view, 6> patterns = {
      reasoning ? kThinkClose : kEos, kCallsStart, kThinkOpen,
      reasoning ? kEos : kThinkClose, kBos,        kDsml};
  const Found found = FindFirst(input_.Rest(), input_.looked, patterns, input_.ended);
  const std::string_view piece = input_.Rest().substr(0, found.at);
  reasoning ? out_.Reasoning(piece) : out_.Content(piece);
  input_.Use(found.at);
  if (found.match != Match::kFull) {
    if (!input_.ended) return Verdict::kWait;
    return Refuse(reasoning ? "the completion ended without </think>"
                            : "the completion ended without end of sentence");
  }
  if (found.which > 1) return Refuse("a control token inside the text");
  if (found.which == 1 && reasoning) return Refuse("tool calls before </think>");
  if (found.which == 1) return Enter(State::kBlock, kCallsStart.size());
  return Enter(reasoning ? State::kContent : State::kAfterEos, patterns[0].size());
}

Verdict StrictMachine::Block() {
  if (input_.Rest().empty() && input_.ended) return Verdict::kDone;
  static constexpr std::string_view kInvoke = ">\n<" DSV_CHAT_DSML "invoke";
  static constexpr std::string_view kClose = ">\n</" DSV_CHAT_DSML "tool_calls>";
  const Found found = MatchEither(input_.Rest(), kInvoke, kClose, input_.ended);
  if (found.match == Match::kPartial) return Verdict::kWait;
  if (found.match == Match::kNone)
    return Refuse("expected an invoke tag or the end of the tool calls");
  return found.which == 0 ? Enter(State::kInvokeStart, kInvoke.size())
                          : Enter(State::kAfterBlock, kClose.size());
}

Verdict StrictMachine::InvokeStart() {
  const std::string_view rest = input_.Rest();
  while (const size_t space = LeadingSpace(rest.substr(input_.looked))) input_.looked += space;
  const std::string_view attribute = kNameStart.substr(1);
  const Match match = MatchLiteral(rest.substr(input_.looked), attribute, input_.ended);
  if (match == Match::kPartial) return Verdict::kWait;
  if (match == Match::kNone) return Refuse("expected name=\"..\" in an invoke tag");
  name_at_ = input_.looked += attribute.size();
  state_ = State::kInvoke;
  return Verdict::kGoOn;
}

Verdict StrictMachine::Invoke() {
  static constexpr std::array<std::string_view, 2> kStops = {kParameterOpen, kInvokeClose};
  const Found found = FindFirst(input_.Rest(), input_.looked, kStops, input_.ended);
  if (found.match != Match::kFull && !input_.ended) {
    input_.looked = found.at;
    return Verdict::kWait;
  }
  std::string_view name = input_.Rest().substr(name_at_, found.at - name_at_);
  if (name.ends_with("\">\n\n")) {
    name.remove_suffix(4);
  } else if (name.ends_with("\">\n")) {
    name.remove_suffix(3);
  } else {
    return Refuse("expected \"> and a line end after the name in an invoke tag");
  }
  out_.StartCall(name);
  if (found.match != Match::kFull) {
    input_.Use(found.at);
    out_.EndCall(/*complete=*/false);
    return Verdict::kDone;
  }
  if (found.which == 0) return Enter(State::kParameter, found.at + kParameterOpen.size());
  out_.EndCall(/*complete=*/true);
  return Enter(State::kBlock, found.at + kInvokeClose.size());
}

Verdict StrictMachine::Parameter() {
  const std::string_view rest = input_.Rest();
  const Match match = MatchLiteral(rest, kNameStart, input_.ended);
  if (match == Match::kPartial) return Verdict::kWait;
  if (match == Match::kNone) return Refuse("expected name=\"..\" in a parameter tag");
  static constexpr std::array<std::string_view, 3> kStops = {"\" string=\"true\">",
                                                             "\" string=\"false\">", kValueStop};
  const Found found =
      FindFirst(rest, std::max(input_.looked, kNameStart.size()), kStops, input_.ended);
  if (found.match != Match::kFull && !input_.ended) {
    input_.looked = found.at;
    return Verdict::kWait;
  }
  if (found.match != Match::kFull || found.which == 2) {
    return Refuse("expected string=\"true\" or string=\"false\" in a parameter tag");
  }
  const std::string_view key = rest.substr(kNameStart.size(), found.at - kNameStart.size());
  if (!out_.StartParameter(key, found.which == 0)) return Refuse("a parameter twice");
  return Enter(State::kValue, found.at + kStops[found.which].size());
}

Verdict StrictMachine::Value() {
  static constexpr std::array<std::string_view, 4> kStops = {kParameterClose, kBrokenValueStop,
                                                             kValueStop, kEos};
  const auto stops = std::span(kStops).first(tolerant_ ? 4 : 3);
  const Found found = FindFirst(input_.Rest(), input_.looked, stops, input_.ended);
  out_.Value(input_.Rest().substr(0, found.at));
  input_.Use(found.at);
  if (found.match != Match::kFull) {
    return input_.ended ? Refuse("the completion ended inside a value") : Verdict::kWait;
  }
  if (found.which == 3) {
    if (input_.Rest().size() == kEos.size()) {
      return input_.ended ? Refuse("the completion ended inside a value") : Verdict::kWait;
    }
    out_.Value(kEos);
    input_.Use(kEos.size());
    return Verdict::kGoOn;
  }
  if (found.which == 2) return Refuse("expected < before the end of a value");
  out_.EndParameter();
  return Enter(State::kValueEnd, stops[found.which].size());
}

Verdict StrictMachine::ValueEnd() {
  static constexpr std::string_view kNext = ">\n<" DSV_CHAT_DSML "parameter";
  static constexpr std::string_view kClose = ">\n</" DSV_CHAT_DSML "invoke";
  const Found found = MatchEither(input_.Rest(), kNext, kClose, input_.ended);
  if (found.match == Match::kPartial) return Verdict::kWait;
  if (found.match == Match::kNone) {
    if (!input_.ended || input_.Rest() != ">\n") {
      return Refuse("expected > and a line end after a parameter, then the next tag");
    }
    input_.Use(2);
    out_.EndCall(/*complete=*/false);
    return Verdict::kDone;
  }
  if (found.which == 0) return Enter(State::kParameter, kNext.size());
  out_.EndCall(/*complete=*/true);
  return Enter(State::kBlock, kClose.size());
}

Verdict StrictMachine::AfterBlock() {
  if (input_.Rest().empty()) return input_.ended ? Verdict::kDone : Verdict::kWait;
  const Match match = MatchLiteral(input_.Rest(), kEos, input_.ended);
  if (match == Match::kPartial) return Verdict::kWait;
  if (match == Match::kNone) return Refuse("text after the tool calls");
  return Enter(State::kAfterEos, kEos.size());
}

}  // namespace dsv::chat
