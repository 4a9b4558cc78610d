#include "chat/parser_test_util.h"

#include <algorithm>
#include <ostream>
#include <random>
#include <set>

#include "base/utf8.h"
#include "chat/json_text.h"
#include "chat/literals.h"
#include "chat/white_space.h"

namespace dsv::chat {
namespace {

// What the events say, kept apart from what the parser says in the end.
struct Heard {
  std::string content;
  std::string reasoning;
  std::vector<std::string> calls;
  bool in_call = false;

  void Hear(const ParseEvent& event) {
    using Kind = ParseEvent::Kind;
    EXPECT_FALSE(FindInvalidUtf8(event.text)) << event.text;
    EXPECT_EQ(event.text.empty(), event.kind == Kind::kCallEnd ||
                                      (event.kind == Kind::kCallStart && event.text.empty()));
    EXPECT_EQ(in_call, event.kind == Kind::kArguments || event.kind == Kind::kCallEnd);
    switch (event.kind) {
      case Kind::kReasoning:
        reasoning += event.text;
        break;
      case Kind::kContent:
        content += event.text;
        break;
      case Kind::kCallStart:
        calls.push_back(event.text);
        calls.emplace_back();
        in_call = true;
        break;
      case Kind::kArguments:
        calls.back() += event.text;
        break;
      case Kind::kCallEnd:
        in_call = false;
        break;
    }
  }
};

struct Read {
  size_t next;
  std::string_view text;
  std::string_view stop;  // empty: none found
};

Read Until(std::string_view text, size_t at, std::initializer_list<std::string_view> stops) {
  Read read{text.size(), text.substr(at), {}};
  size_t first = text.size();
  for (const std::string_view stop : stops) {
    const size_t found = text.find(stop, at);
    if (found < first) {
      first = found;
      read = {found + stop.size(), text.substr(at, found - at), stop};
    }
  }
  return read;
}

// ^\s*name="(.*?)">\n$
std::optional<std::string_view> InvokeName(std::string_view text) {
  while (const size_t space = LeadingSpace(text)) text.remove_prefix(space);
  if (!text.starts_with("name=\"")) return std::nullopt;
  text.remove_prefix(6);
  for (const std::string_view end : {"\">\n\n", "\">\n"}) {
    if (text.ends_with(end)) return text.substr(0, text.size() - end.size());
  }
  return std::nullopt;
}

struct ParameterText {
  std::string_view key;
  bool is_string;
  std::string_view value;
};

// ^ name="(.*?)" string="(true|false)">(.*?)<$
std::optional<ParameterText> MatchParameter(std::string_view text) {
  if (!text.starts_with(" name=\"")) return std::nullopt;
  const size_t t = text.find("\" string=\"true\">", 7);
  const size_t f = text.find("\" string=\"false\">", 7);
  const size_t key_end = std::min(t, f);
  if (key_end == std::string_view::npos) return std::nullopt;
  std::string_view value = text.substr(key_end + (t < f ? 16 : 17));
  if (value.ends_with("<\n")) value.remove_suffix(1);
  if (!value.ends_with('<')) return std::nullopt;
  value.remove_suffix(1);
  return ParameterText{text.substr(7, key_end - 7), t < f, value};
}

bool OracleCalls(std::string_view text, size_t& at, Outcome& outcome) {
  while (at < text.size()) {
    Read read = Until(text, at, {kInvokeOpen, kCallsClose});
    at = read.next;
    if (read.text != ">\n") return false;
    if (read.stop == kCallsClose) return true;
    if (read.stop.empty()) return false;
    read = Until(text, at, {kParameterOpen, kInvokeClose});
    at = read.next;
    const auto name = InvokeName(read.text);
    if (!name) return false;
    std::string arguments = "{";
    std::set<std::string_view> keys;
    while (read.stop == kParameterOpen) {
      read = Until(text, at, {kParameterClose.substr(1)});
      at = read.next;
      const auto parameter = MatchParameter(read.text);
      if (!parameter || !keys.insert(parameter->key).second) return false;
      if (keys.size() > 1) arguments += ", ";
      AppendQuoted(parameter->key, arguments);
      arguments += ": ";
      if (parameter->is_string) {
        AppendQuoted(parameter->value, arguments);
      } else {
        arguments += parameter->value;
      }
      read = Until(text, at, {kParameterOpen, kInvokeClose});
      at = read.next;
      if (read.text != ">\n") return false;
    }
    outcome.calls.emplace_back(*name);
    outcome.calls.push_back(arguments + "}");
  }
  return true;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Outcome& outcome) {
  out << "error '" << outcome.error << "' reasoning '" << outcome.reasoning << "' content '"
      << outcome.content << "'";
  for (const std::string& call : outcome.calls) out << " [" << call << "]";
  for (const bool complete : outcome.complete) out << (complete ? " whole" : " incomplete");
  for (const std::string& note : outcome.notes) out << " (" << note << ")";
  return out;
}

Outcome Drive(std::string_view text, ParserOptions options, const std::vector<size_t>& cuts) {
  CompletionParser parser(options);
  Heard heard;
  Status status;
  size_t at = 0;
  const auto feed = [&](size_t end) {
    std::vector<ParseEvent> events;
    status = parser.Feed(text.substr(at, end - at), events);
    for (const ParseEvent& event : events) heard.Hear(event);
    at = end;
    return status.has_value();
  };
  bool going = true;
  for (const size_t cut : cuts) going = going && feed(cut);
  if (going) feed(text.size());
  std::vector<ParseEvent> events;
  const Result<ParsedMessage> message = parser.Finish(events);
  for (const ParseEvent& event : events) heard.Hear(event);
  Outcome outcome;
  if (!message) {
    outcome.error = message.error().message;
    EXPECT_EQ(status ? outcome.error : status.error().message, outcome.error);
    EXPECT_FALSE(options.tolerant) << outcome.error;
    return outcome;
  }
  EXPECT_TRUE(status);
  EXPECT_FALSE(heard.in_call);
  outcome.content = message->content;
  outcome.reasoning = message->reasoning_content;
  outcome.notes = message->notes;
  for (const ParsedCall& call : message->tool_calls) {
    outcome.calls.push_back(call.name);
    outcome.calls.push_back(call.arguments);
    outcome.complete.push_back(call.complete);
  }
  EXPECT_EQ(heard.content, outcome.content);
  EXPECT_EQ(heard.reasoning, outcome.reasoning);
  EXPECT_EQ(heard.calls, outcome.calls);
  return outcome;
}

Outcome Drive(std::string_view text, ParserOptions options) { return Drive(text, options, {}); }

void ExpectSameForEveryCut(std::string_view text, ParserOptions options, size_t stride) {
  const Outcome whole = Drive(text, options);
  for (const size_t size : {1U, 2U, 3U, 5U, 13U}) {
    std::vector<size_t> cuts;
    for (size_t at = size; at < text.size(); at += size) cuts.push_back(at);
    ASSERT_EQ(Drive(text, options, cuts), whole) << "pieces of " << size << ": " << text;
  }
  for (size_t at = 0; at <= text.size(); at += stride) {
    ASSERT_EQ(Drive(text, options, {at}), whole) << "cut at " << at << ": " << text;
  }
  std::minstd_rand random(static_cast<unsigned>(text.size()) + 1);
  for (int i = 0; i < 5; ++i) {
    std::vector<size_t> cuts;
    for (size_t at = random() % 9; at < text.size(); at += random() % 9) cuts.push_back(at);
    ASSERT_EQ(Drive(text, options, cuts), whole) << text;
  }
}

std::optional<Outcome> Oracle(std::string_view text, Mode mode) {
  const std::string start = "\n\n" + std::string(kCallsOpen);
  Outcome outcome;
  Read read{0, {}, {}};
  if (mode == Mode::kThinking) {
    read = Until(text, 0, {kThinkClose, start});
    if (read.stop != kThinkClose) return std::nullopt;
    outcome.reasoning = read.text;
  }
  read = Until(text, read.next, {kEos, start});
  outcome.content = read.text;
  if (read.stop.empty()) return std::nullopt;
  if (read.stop == start) {
    size_t at = read.next;
    if (!OracleCalls(text, at, outcome)) return std::nullopt;
    read = Until(text, at, {kEos});
    if (!read.text.empty()) return std::nullopt;
  }
  if (read.next != text.size()) return std::nullopt;
  for (const std::string_view token : {kBos, kEos, kThinkOpen, kThinkClose, kDsml}) {
    if (outcome.content.find(token) != std::string::npos) return std::nullopt;
    if (outcome.reasoning.find(token) != std::string::npos) return std::nullopt;
  }
  return outcome;
}

std::string Wide(std::string_view text) {
  std::string wide;
  for (const char c : text) wide += c == '|' ? DSV_CHAT_BAR : std::string(1, c);
  return wide;
}

}  // namespace dsv::chat
