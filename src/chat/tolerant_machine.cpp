#include "chat/tolerant_machine.h"

#include <algorithm>
#include <array>

#include "chat/literals.h"

namespace dsv::chat {
namespace {

constexpr std::array<std::string_view, 4> kControls = {kEos, kBos, kThinkOpen, kThinkClose};
// "<" and the first bytes of the bars that may begin a tag.
constexpr std::string_view kMarkupStarts = "<\xEF\xE2";
constexpr std::string_view kSpace = " \t\r\n";
constexpr size_t kMaxHeldLineEnds = 4;  // bytes: two line ends belong to the block after them
constexpr size_t kMaxMarkup = 128;      // bytes: more than MatchTag ever looks at

size_t TrailingLineEnds(std::string_view text) {
  size_t count = 0;
  while (count < std::min(text.size(), kMaxHeldLineEnds) &&
         (text[text.size() - 1 - count] == '\n' || text[text.size() - 1 - count] == '\r')) {
    ++count;
  }
  return count;
}

std::string_view WithoutLineEnds(std::string_view text) {
  for (int i = 0; i < 2; ++i) {
    if (!text.ends_with('\n')) break;
    text.remove_suffix(1);
    if (text.ends_with('\r')) text.remove_suffix(1);
  }
  return text;
}

std::string_view Trimmed(std::string_view text, std::string_view marks) {
  const size_t first = std::min(text.find_first_not_of(marks), text.size());
  return text.substr(first, text.find_last_not_of(marks) + 1 - first);
}

}  // namespace

Verdict TolerantMachine::Step() {
  if (strict_) return StrictBlock();
  switch (state_) {
    case State::kText:
      return Text();
    case State::kTagRest:
      return TagRest();
    case State::kBlock:
      return Block();
    case State::kInvokeTag:
      return InvokeTag();
    case State::kCall:
      return Call();
    case State::kParameterTag:
      return ParameterTag();
    case State::kValue:
      return Value();
    case State::kEnd:
      break;
  }
  return End();
}

Verdict TolerantMachine::StrictBlock() {
  using Strict = StrictMachine::State;
  const Verdict verdict = strict_->Step();
  const Strict at = strict_->state();
  if (at == Strict::kInvokeStart) calls_in_block_ = 1;
  if (at == Strict::kAfterBlock) {
    strict_.reset();
    LeaveBlock();
    return Enter(State::kText, 0);
  }
  if (verdict == Verdict::kDone) out_.Note("the completion ended inside the tool calls");
  if (verdict != Verdict::kRefused) return verdict;
  strict_.reset();
  input_.looked = 0;
  switch (at) {
    case Strict::kInvokeStart:
    case Strict::kInvoke:
      return Enter(State::kInvokeTag, 0);
    case Strict::kParameter:
      return EnterParameter(/*dsml=*/true, /*exact=*/true);
    case Strict::kValue:
      if (input_.ended && !input_.Rest().starts_with('/')) {
        out_.CutParameter();
        input_.Use(input_.Rest().size());
        return EndOfCall(/*complete=*/false);
      }
      out_.Note("a tag was repaired");
      out_.EndParameter();
      return Enter(State::kCall, kParameterClose.size() - 1);
    case Strict::kValueEnd:
      return Enter(State::kCall, 0);
    default:
      return Enter(State::kBlock, 0);
  }
}

TolerantMachine::Markup TolerantMachine::MarkupAt(std::string_view text, size_t at, bool plain,
                                                  bool ended) {
  const std::string_view rest = text.substr(at);
  Markup found{Match::kNone, at, 0, {}, {}};
  for (const std::string_view control : kControls) {
    const Match match = MatchLiteral(rest, control, ended);
    if (match == Match::kFull) return {match, at, control.size(), control, {}};
    if (match == Match::kPartial) found.match = match;
  }
  if (found.match == Match::kPartial) return found;
  found.tag = MatchTag(rest, plain, ended);
  found.match = found.tag.match;
  found.size = found.tag.size;
  return found;
}

TolerantMachine::Markup TolerantMachine::FindMarkup(std::string_view text, size_t from, bool plain,
                                                    bool ended) {
  for (size_t at = text.find_first_of(kMarkupStarts, from); at != std::string_view::npos;
       at = text.find_first_of(kMarkupStarts, at + 1)) {
    const Markup found = MarkupAt(text, at, plain, ended);
    if (found.match != Match::kNone) return found;
  }
  return {Match::kNone, text.size(), 0, {}, {}};
}

// What is left on both sides of removed markup could make up markup together.
void TolerantMachine::CloseSeam() {
  seam_ = false;
  const std::string_view before = out_.text(reasoning_);
  const size_t from = before.size() - std::min(before.size(), kMaxMarkup);
  const bool inside =
      FindMarkup(before, from, /*plain=*/false, /*ended=*/false).match == Match::kPartial;
  if (inside) reasoning_ ? out_.Reasoning("\n") : out_.Content("\n");
}

void TolerantMachine::EmitText(std::string_view text) {
  if (after_calls_ && !reasoning_) {
    text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
    if (text.empty()) return;
    after_calls_ = false;
    out_.Note("text after the tool calls");
    if (!out_.text(/*reasoning=*/false).empty()) out_.Content("\n\n");
  }
  if (seam_ && !text.empty()) CloseSeam();
  reasoning_ ? out_.Reasoning(text) : out_.Content(text);
}

Verdict TolerantMachine::Text() {
  const Markup found = FindMarkup(input_.Rest(), input_.looked, /*plain=*/false, input_.ended);
  const std::string_view text = input_.Rest().substr(0, found.at);
  if (found.match == Match::kFull) return TextMarkup(found);
  if (input_.ended) {
    EmitText(text);
    input_.Use(text.size());
    if (reasoning_) {
      out_.Note("reasoning without </think>");
    } else if (!after_calls_) {
      out_.Note("no end of sentence");
    }
    return Verdict::kDone;
  }
  const size_t held = TrailingLineEnds(text);
  EmitText(text.substr(0, text.size() - held));
  input_.Use(text.size() - held);
  input_.looked = held;
  return Verdict::kWait;
}

Verdict TolerantMachine::TextMarkup(const Markup& found) {
  const std::string_view text = input_.Rest().substr(0, found.at);
  const bool opens = found.control.empty() && !found.tag.closing && found.tag.bracket;
  if (opens && (found.tag.kind == TagKind::kBlock || found.tag.kind == TagKind::kInvoke)) {
    return OpenBlock(found);
  }
  EmitText(text);
  seam_ = true;
  input_.Use(found.at);
  if (found.control == kEos) {
    if (reasoning_) out_.Note("reasoning without </think>");
    return Enter(State::kEnd, found.size);
  }
  if (found.control == kThinkClose && reasoning_) {
    reasoning_ = false;
    return Enter(State::kText, found.size);
  }
  if (found.control == kThinkOpen && !reasoning_ && out_.text(/*reasoning=*/false).empty() &&
      !after_calls_) {
    out_.Note("reasoning after its end");
    reasoning_ = true;
    return Enter(State::kText, found.size);
  }
  input_.Use(found.size);
  if (found.tag.bracket) return RemoveTag(State::kText, "stray markup removed");
  out_.Note("stray markup removed");
  return Verdict::kGoOn;
}

Verdict TolerantMachine::OpenBlock(const Markup& found) {
  const std::string_view text = input_.Rest().substr(0, found.at);
  const bool exact = input_.Rest().substr(found.at).starts_with(kCallsOpen);
  const bool blank_line = text.ends_with("\n\n");
  EmitText(exact && blank_line ? text.substr(0, text.size() - 2) : WithoutLineEnds(text));
  if (reasoning_) out_.Note("tool calls before </think>");
  if (after_calls_) out_.Note("more than one tool call block");
  if (!exact) out_.Note("a tag was repaired");
  if (!blank_line) out_.Note("no blank line before the tool calls");
  seam_ = true;
  left_reasoning_ = reasoning_;
  reasoning_ = false;
  calls_in_block_ = 0;
  if (found.tag.kind == TagKind::kInvoke) return Enter(State::kInvokeTag, found.at + found.size);
  if (!exact) return Enter(State::kBlock, found.at + found.size);
  input_.Use(found.at + kCallsOpen.size());
  strict_.emplace(StrictMachine::State::kBlock, /*tolerant=*/true, input_, out_);
  return Verdict::kGoOn;
}

Verdict TolerantMachine::RemoveTag(State back, std::string_view note) {
  out_.Note(note);
  back_ = back;
  state_ = State::kTagRest;
  return Verdict::kGoOn;
}

Verdict TolerantMachine::TagRest() {
  const std::string_view rest = input_.Rest();
  const size_t end = rest.find_first_of(">\n<");
  if (end != std::string_view::npos) return Enter(back_, rest[end] == '>' ? end + 1 : end);
  if (input_.ended) return Enter(back_, rest.size());
  input_.Use(rest.size());
  return Verdict::kWait;
}

// The block turned out to be over, or to be none.
void TolerantMachine::LeaveBlock() {
  after_calls_ = after_calls_ || calls_in_block_ > 0;
  if (calls_in_block_ > 0) return;
  out_.Note("a tool call block without calls");
  reasoning_ = left_reasoning_;
}

Verdict TolerantMachine::Block() {
  const size_t space = input_.Rest().find_first_not_of(" \t\r\n>");
  if (space == std::string_view::npos) {
    input_.Use(input_.Rest().size());
    if (!input_.ended) return Verdict::kWait;
    out_.Note("the completion ended inside the tool calls");
    return Verdict::kDone;
  }
  input_.Use(space);
  const Markup found = MarkupAt(input_.Rest(), 0, /*plain=*/true, input_.ended);
  if (found.match == Match::kPartial) return Verdict::kWait;
  if (found.match == Match::kNone || found.control == kEos) {
    if (calls_in_block_ > 0) out_.Note("a tool call block without its end tag");
    LeaveBlock();
    return Enter(State::kText, 0);
  }
  input_.Use(found.size);
  if (!found.control.empty()) {
    out_.Note("stray markup removed");
    return Verdict::kGoOn;
  }
  if (found.tag.kind == TagKind::kInvoke && !found.tag.closing) return Enter(State::kInvokeTag, 0);
  if (found.tag.kind == TagKind::kParameter && !found.tag.closing) {
    return EnterParameter(found.tag.dsml, /*exact=*/false);
  }
  if (found.tag.kind == TagKind::kBlock && found.tag.closing) {
    LeaveBlock();
    return RemoveTag(State::kText, "a tag was repaired");
  }
  return RemoveTag(State::kBlock, "stray markup removed");
}

Verdict TolerantMachine::InvokeTag() {
  const std::string_view rest = input_.Rest();
  const size_t end = rest.find_first_of(">\n<", input_.looked);
  if (end == std::string_view::npos && !input_.ended) {
    input_.looked = rest.size();
    return Verdict::kWait;
  }
  const std::string_view attributes = rest.substr(0, end);
  out_.Note("a tag was repaired");
  if (end == std::string_view::npos && !EndsQuoted(attributes)) {
    out_.Note("a call without its full name left out");
    input_.Use(rest.size());
    return Verdict::kDone;
  }
  const std::string_view name = TagAttribute(attributes, "name");
  if (name.empty()) out_.Note("a call without a name");
  out_.StartCall(name);
  ++calls_in_block_;
  stray_.clear();
  return Enter(State::kCall, attributes.size());
}

Verdict TolerantMachine::EndOfCall(bool complete) {
  if (!complete) out_.Note("the completion ended inside the tool calls");
  out_.EndCall(complete);
  return complete ? Verdict::kGoOn : Verdict::kDone;
}

// What stood between the tags of a call: arguments as a JSON object, or nothing that can be kept.
// In the second case a value may have ended early, at the text of an end tag inside it, so what the
// block says from there on is not to be trusted.
void TolerantMachine::EndStrayText(bool at_end) {
  const std::string_view text = Trimmed(stray_, " \t\r\n>");
  if (!text.empty()) {
    if (at_end && !out_.has_parameters() && text.starts_with('{') && IsJson(text)) {
      out_.Note("arguments given as a JSON object");
      out_.WholeArguments(text);
    } else {
      out_.Note("text inside a call left out");
      suspect_ = true;
    }
  }
  stray_.clear();
}

Verdict TolerantMachine::Call() {
  const Markup found = FindMarkup(input_.Rest(), input_.looked, /*plain=*/true, input_.ended);
  stray_ += input_.Rest().substr(0, found.at);
  input_.Use(found.at);
  if (found.match == Match::kPartial) return Verdict::kWait;
  if (found.match == Match::kNone && !input_.ended) return Verdict::kWait;
  if (found.match == Match::kNone || found.control == kEos) {
    EndStrayText(/*at_end=*/true);
    out_.Note("the completion ended inside the tool calls");
    out_.EndCall(/*complete=*/false);
    if (found.match == Match::kNone) return Verdict::kDone;
    return Enter(State::kEnd, found.size);
  }
  const bool exact = input_.Rest().starts_with(kParameterOpen);
  input_.Use(found.size);
  if (!found.control.empty()) {
    out_.Note("stray markup removed");
    return Verdict::kGoOn;
  }
  if (found.tag.kind != TagKind::kParameter || found.tag.closing) return CallTag(found.tag);
  EndStrayText(/*at_end=*/false);
  return EnterParameter(found.tag.dsml, exact);
}

// A tag inside a call that is not the start of a parameter.
Verdict TolerantMachine::CallTag(const Tag& tag) {
  const bool ends_block = tag.kind == TagKind::kBlock && tag.closing;
  if (tag.kind != TagKind::kInvoke && !ends_block) {
    return RemoveTag(State::kCall, "stray markup removed");
  }
  EndStrayText(/*at_end=*/true);
  out_.EndCall(/*complete=*/!suspect_);
  if (tag.kind == TagKind::kInvoke && tag.closing)
    return RemoveTag(State::kBlock, "a tag was repaired");
  out_.Note("a call without its end tag");
  if (!ends_block) return Enter(State::kInvokeTag, 0);
  LeaveBlock();
  return RemoveTag(State::kText, "a tag was repaired");
}

Verdict TolerantMachine::EnterParameter(bool dsml, bool exact) {
  plain_value_ = !dsml;
  exact_value_ = exact;
  return Enter(State::kParameterTag, 0);
}

Verdict TolerantMachine::ParameterTag() {
  const std::string_view rest = input_.Rest();
  const size_t end = rest.find_first_of(">\n<", input_.looked);
  if (end == std::string_view::npos) {
    input_.looked = rest.size();
    if (!input_.ended) return Verdict::kWait;
    out_.Note("a parameter was cut off");
    input_.Use(rest.size());
    if (out_.in_call()) return EndOfCall(/*complete=*/false);
    return Verdict::kDone;
  }
  const std::string_view attributes = rest.substr(0, end);
  const std::string_view string = TagAttribute(attributes, "string");
  out_.Note("a tag was repaired");
  key_ = TagAttribute(attributes, "name");
  value_kind_ = string == "true" || string == "True"     ? ValueKind::kString
                : string == "false" || string == "False" ? ValueKind::kJson
                                                         : ValueKind::kInferred;
  inferred_.clear();
  if (!out_.in_call() || key_.empty()) {
    out_.Note(out_.in_call() ? "a parameter without a name left out"
                             : "a parameter outside a call left out");
    value_kind_ = ValueKind::kDiscarded;
  } else if (value_kind_ == ValueKind::kInferred) {
    out_.Note("a value without its kind");
  } else if (!out_.StartParameter(key_, value_kind_ == ValueKind::kString)) {
    out_.Note("a parameter twice, the first is kept");
    value_kind_ = ValueKind::kDiscarded;
  }
  return Enter(State::kValue, rest[end] == '<' ? end : end + 1);
}

void TolerantMachine::EmitValue(std::string_view piece) {
  if (value_kind_ == ValueKind::kInferred) {
    inferred_ += piece;
  } else if (value_kind_ != ValueKind::kDiscarded) {
    out_.Value(piece);
  }
}

void TolerantMachine::EndValue() {
  if (value_kind_ == ValueKind::kInferred) {
    if (!out_.StartParameter(key_, !IsJson(inferred_))) {
      out_.Note("a parameter twice, the first is kept");
      return;
    }
    out_.Value(inferred_);
  }
  if (value_kind_ != ValueKind::kDiscarded) out_.EndParameter();
}

Verdict TolerantMachine::CutValue() {
  input_.Use(input_.Rest().size());
  if (value_kind_ == ValueKind::kString || value_kind_ == ValueKind::kJson) {
    out_.CutParameter();
  } else {
    out_.Note("a parameter was cut off");
  }
  if (out_.in_call()) return EndOfCall(/*complete=*/false);
  out_.Note("the completion ended inside the tool calls");
  return Verdict::kDone;
}

Verdict TolerantMachine::Value() {
  static constexpr std::string_view kBareClose = kParameterClose.substr(1);
  const std::string_view rest = input_.Rest();
  size_t at = rest.find_first_of("</", input_.looked);
  for (; at != std::string_view::npos; at = rest.find_first_of("</", at + 1)) {
    const std::string_view tail = rest.substr(at);
    const Match bare = MatchLiteral(tail, kBareClose, input_.ended);
    const Match eos = MatchLiteral(tail, kEos, input_.ended);
    const Tag tag = tail[0] == '<' ? MatchTag(tail, plain_value_, input_.ended) : Tag();
    const bool closes =
        tail.starts_with(kParameterClose) || (!exact_value_ && tag.match == Match::kFull &&
                                              tag.closing && tag.kind == TagKind::kParameter);
    if (closes || bare == Match::kFull) {
      EmitValue(rest.substr(0, at));
      EndValue();
      input_.Use(at + (bare == Match::kFull                ? kBareClose.size()
                       : tail.starts_with(kParameterClose) ? kParameterClose.size()
                                                           : tag.size));
      return RemoveTag(out_.in_call() ? State::kCall : State::kBlock, "a tag was repaired");
    }
    const bool undecided = bare == Match::kPartial || eos == Match::kPartial ||
                           tag.match == Match::kPartial ||
                           (eos == Match::kFull && tail.size() == kEos.size());
    if (undecided) break;
  }
  EmitValue(rest.substr(0, at));
  input_.Use(std::min(at, rest.size()));
  return input_.ended ? CutValue() : Verdict::kWait;
}

Verdict TolerantMachine::End() {
  if (!input_.Rest().empty()) out_.Note("text after the end of sentence");
  input_.Use(input_.Rest().size());
  return input_.ended ? Verdict::kDone : Verdict::kWait;
}

}  // namespace dsv::chat
