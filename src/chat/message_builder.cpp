#include "chat/message_builder.h"

#include <algorithm>

#include "chat/json_text.h"

namespace dsv::chat {

bool IsJson(std::string_view text) {
  const JsonFault fault = ParseJsonText(text).fault;
  return fault == JsonFault::kNone || fault == JsonFault::kOverflow ||
         fault == JsonFault::kLoneSurrogate;
}

namespace {

// Whether strict's arguments with this value in them would be JSON. Unlike IsJson it lets
// `1, "y": 2` pass, which the published parser takes for two parameters.
bool FitsObject(std::string_view value) { return IsJson("{\"\": " + std::string(value) + "}"); }

// What a value that is not JSON most likely stands for.
std::string RepairedJson(std::string_view value) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = std::min(value.find_first_not_of(kSpace), value.size());
  const std::string_view trimmed = value.substr(first, value.find_last_not_of(kSpace) + 1 - first);
  if (trimmed == "True") return "true";
  if (trimmed == "False") return "false";
  if (trimmed == "None") return "null";
  std::string text;
  AppendQuoted(value, text);
  return text;
}

}  // namespace

void MessageBuilder::Send(ParseEvent::Kind kind, std::string_view piece) {
  const bool joins = kind != ParseEvent::Kind::kCallStart && kind != ParseEvent::Kind::kCallEnd;
  if (joins && !events_->empty() && events_->back().kind == kind) {
    events_->back().text += piece;
  } else {
    events_->push_back({kind, std::string(piece)});
  }
}

void MessageBuilder::Reasoning(std::string_view piece) {
  if (piece.empty()) return;
  message_.reasoning_content += piece;
  Send(ParseEvent::Kind::kReasoning, piece);
}

void MessageBuilder::Content(std::string_view piece) {
  if (piece.empty()) return;
  message_.content += piece;
  Send(ParseEvent::Kind::kContent, piece);
}

void MessageBuilder::Arguments(std::string_view piece) {
  if (piece.empty()) return;
  message_.tool_calls.back().arguments += piece;
  Send(ParseEvent::Kind::kArguments, piece);
}

void MessageBuilder::StartCall(std::string_view name) {
  message_.tool_calls.push_back({std::string(name), "", true});
  in_call_ = true;
  whole_arguments_ = false;
  keys_.clear();
  Send(ParseEvent::Kind::kCallStart, name);
}

void MessageBuilder::EmitKey() {
  std::string piece = keys_.size() == 1 ? "{" : ", ";
  AppendQuoted(key_, piece);
  Arguments(piece + ": ");
}

bool MessageBuilder::StartParameter(std::string_view key, bool is_string) {
  if (!keys_.emplace(key).second) return false;
  key_ = key;
  is_string_ = is_string;
  if (is_string_ || !repair_) EmitKey();
  if (is_string_) Arguments("\"");
  return true;
}

void MessageBuilder::Value(std::string_view piece) {
  if (is_string_) {
    std::string escaped;
    AppendEscaped(piece, escaped);
    Arguments(escaped);
  } else if (repair_) {
    held_ += piece;
  } else {
    Arguments(piece);
  }
}

void MessageBuilder::EndParameter() {
  if (is_string_) {
    Arguments("\"");
  } else if (repair_) {
    EmitKey();
    if (FitsObject(held_)) {
      Arguments(held_);
    } else {
      Note("a value that is not JSON was made JSON");
      Arguments(RepairedJson(held_));
    }
    held_.clear();
  }
}

void MessageBuilder::CutParameter() {
  Note("a parameter was cut off");
  if (is_string_) {
    Arguments("\"");
  } else {
    keys_.erase(key_);
    held_.clear();
  }
}

void MessageBuilder::WholeArguments(std::string_view object) {
  Arguments(object);
  whole_arguments_ = true;
}

void MessageBuilder::EndCall(bool complete) {
  if (!whole_arguments_) Arguments(keys_.empty() ? "{}" : "}");
  message_.tool_calls.back().complete = complete;
  in_call_ = false;
  keys_.clear();
  Send(ParseEvent::Kind::kCallEnd, "");
}

void MessageBuilder::Note(std::string_view what) {
  const auto& notes = message_.notes;
  if (std::find(notes.begin(), notes.end(), what) == notes.end()) message_.notes.emplace_back(what);
}

}  // namespace dsv::chat
