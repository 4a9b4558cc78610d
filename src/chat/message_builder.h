// Collects the message of a completion and reports each addition as an event.
#pragma once

#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "chat/parser.h"

namespace dsv::chat {

class MessageBuilder {
 public:
  // With `repair`, values given as JSON are held until they end and made valid if they are not.
  explicit MessageBuilder(bool repair) : repair_(repair) {}

  // Where events go from here on.
  void SendTo(std::vector<ParseEvent>* events) { events_ = events; }

  void Reasoning(std::string_view piece);
  void Content(std::string_view piece);

  void StartCall(std::string_view name);
  // False if the call already has a parameter of that name; then nothing was started.
  [[nodiscard]] bool StartParameter(std::string_view key, bool is_string);
  void Value(std::string_view piece);
  void EndParameter();
  // The completion ended inside the value.
  void CutParameter();
  // A JSON object as the arguments of a call that has no parameters.
  void WholeArguments(std::string_view object);
  void EndCall(bool complete);

  // `what` is a literal. Notes are listed once, in the order of their first use.
  void Note(std::string_view what);

  bool in_call() const { return in_call_; }
  bool has_parameters() const { return !keys_.empty(); }
  // The reasoning or the content so far.
  std::string_view text(bool reasoning) const {
    return reasoning ? message_.reasoning_content : message_.content;
  }
  ParsedMessage Take() { return std::move(message_); }

 private:
  void Send(ParseEvent::Kind kind, std::string_view piece);
  void Arguments(std::string_view piece);
  void EmitKey();

  ParsedMessage message_;
  std::vector<ParseEvent>* events_ = nullptr;
  bool repair_;
  bool in_call_ = false;
  bool whole_arguments_ = false;
  bool is_string_ = false;
  std::string key_;
  std::string held_;                      // a JSON value under repair
  std::unordered_set<std::string> keys_;  // of the current call
};

// Grammatical JSON without NaN and Infinity.
bool IsJson(std::string_view text);

}  // namespace dsv::chat
