#include "chat/render.h"

#include <algorithm>
#include <iterator>
#include <unordered_map>
#include <utility>

#include "chat/literals.h"

namespace dsv::chat {
namespace {

constexpr std::string_view kControlTokens[] = {kBos,       kEos,        kUserToken, kAssistantToken,
                                               kThinkOpen, kThinkClose, kDsml,      kReminderToken};

class SegmentWriter {
 public:
  // What was not written by the renderer: never a control token.
  void Text(std::string_view text) {
    if (text.empty()) return;
    if (segments_.empty() || segments_.back().control) segments_.emplace_back();
    segments_.back().text += text;
  }

  void Control(std::string_view token) { segments_.push_back({std::string(token), true}); }

  // Words of the format, with the control tokens in them set apart.
  void Fixed(std::string_view text) {
    while (!text.empty()) {
      size_t at = text.size();
      std::string_view token;
      for (const std::string_view candidate : kControlTokens) {
        if (const size_t found = text.find(candidate); found < at) {
          at = found;
          token = candidate;
        }
      }
      Text(text.substr(0, at));
      if (!token.empty()) Control(token);
      text.remove_prefix(at + token.size());
    }
  }

  std::vector<Segment> Take() { return std::move(segments_); }

 private:
  std::vector<Segment> segments_;
};

// A part of a user turn: what the user wrote, or the result of a call.
struct Block {
  const Message* source;
  bool is_result;
};

// A message after merging (spec 9.1). User turns are made of blocks; the others point at their
// message.
struct Turn {
  Role role;
  const Message* message;  // null for a turn that starts with a tool result
  std::vector<Block> blocks;
  const std::string* task = nullptr;

  bool AsksForReply() const { return role == Role::kUser || role == Role::kDeveloper; }
};

std::vector<Turn> Merge(std::span<const Message> messages) {
  std::vector<Turn> turns;
  for (const Message& message : messages) {
    const bool is_result = message.role == Role::kTool;
    if (!is_result && message.role != Role::kUser) {
      turns.push_back({message.role, &message, {}, message.task ? &*message.task : nullptr});
      continue;
    }
    const bool after_user = !turns.empty() && turns.back().role == Role::kUser;
    if (!after_user || (!is_result && turns.back().task != nullptr)) {
      turns.push_back({Role::kUser, nullptr, {}, nullptr});
      if (!is_result && message.task) turns.back().task = &*message.task;
    }
    turns.back().blocks.push_back({&message, is_result});
  }
  return turns;
}

using CallOrder = std::unordered_map<std::string_view, size_t>;

void RememberCalls(const Message& message, CallOrder& order) {
  if (message.role != Role::kAssistant || message.tool_calls.empty()) return;
  order.clear();
  for (size_t i = 0; i < message.tool_calls.size(); ++i) {
    if (!message.tool_calls[i].id.empty()) order[message.tool_calls[i].id] = i;
  }
}

void SortResults(std::vector<Block>& blocks, const CallOrder& order) {
  std::vector<Block> results;
  std::copy_if(blocks.begin(), blocks.end(), std::back_inserter(results),
               [](const Block& block) { return block.is_result; });
  const auto rank = [&](const Block& block) {
    const auto found = order.find(block.source->tool_call_id);
    return found == order.end() ? size_t{0} : found->second;
  };
  std::stable_sort(results.begin(), results.end(),
                   [&](const Block& a, const Block& b) { return rank(a) < rank(b); });
  auto next = results.begin();
  for (Block& block : blocks) {
    if (block.is_result) block = *next++;
  }
}

// Brings the results of each user turn into the order of the calls that they answer.
void OrderResults(std::span<const Message> context, std::vector<Turn>& turns) {
  CallOrder order;
  for (const Message& message : context) RememberCalls(message, order);
  for (Turn& turn : turns) {
    if (turn.message != nullptr) RememberCalls(*turn.message, order);
    if (!order.empty()) SortResults(turn.blocks, order);
  }
}

int64_t LastAsking(std::span<const Turn> turns) {
  for (size_t i = turns.size(); i-- > 0;) {
    if (turns[i].AsksForReply()) return static_cast<int64_t>(i);
  }
  return -1;
}

// Removes what dropping removes besides reasoning: early developer messages and unknown roles.
std::vector<Turn> Drop(const std::vector<Turn>& turns) {
  const int64_t last = LastAsking(turns);
  std::vector<Turn> kept;
  for (size_t i = 0; i < turns.size(); ++i) {
    const Role role = turns[i].role;
    const bool droppable = role == Role::kDeveloper || role == Role::kUnknown;
    if (!droppable || static_cast<int64_t>(i) >= last) kept.push_back(turns[i]);
  }
  return kept;
}

std::string_view FindTask(std::string_view task) {
  for (const TaskToken& entry : kTaskTokens) {
    if (entry.task == task) return entry.token;
  }
  return {};
}

// Writes the turns of one conversation (spec 9.2 to 9.5).
class TurnWriter {
 public:
  TurnWriter(std::span<const Turn> turns, const RenderOptions& options, bool drop)
      : turns_(turns), options_(options), drop_(drop), last_asking_(LastAsking(turns)) {}

  Status Write(size_t i) {
    const Turn& turn = turns_[i];
    if (i == 0 && Thinking() && options_.effort == Effort::kMax) out_.Fixed(kMaxEffort);
    switch (turn.role) {
      case Role::kSystem:
        Instructions(*turn.message);
        break;
      case Role::kDeveloper:
        if (turn.message->content.empty()) {
          return Fail("message of role developer: expected content, found none");
        }
        out_.Control(kUserToken);
        Instructions(*turn.message);
        break;
      case Role::kUser:
        User(turn);
        break;
      case Role::kAssistant:
        DSV_TRY(Assistant(i));
        break;
      case Role::kLatestReminder:
        out_.Control(kReminderToken);
        out_.Text(turn.message->content);
        break;
      case Role::kSearchResults:
        return Fail("role direct_search_results cannot be rendered");
      case Role::kTool:
      case Role::kUnknown:
        return Fail(
            "message {}: expected the role system, developer, user, assistant, tool or "
            "latest_reminder, found '{}'",
            i, turn.message->role_name);
    }
    return Transition(i);
  }

  void Bos() { out_.Control(kBos); }
  std::vector<Segment> Take() { return out_.Take(); }

 private:
  bool Thinking() const { return options_.mode == Mode::kThinking; }

  void Instructions(const Message& message) {
    out_.Text(message.content);
    if (!message.tools.empty()) {
      out_.Text("\n\n");
      out_.Fixed(kToolsHead);
      for (size_t i = 0; i < message.tools.size(); ++i) {
        if (i > 0) out_.Text("\n");
        out_.Text(ToJson(message.tools[i]));
      }
      out_.Fixed(kToolsTail);
    }
    if (message.response_format) {
      out_.Text("\n\n");
      out_.Fixed(kResponseFormat);
      out_.Text(ToJson(*message.response_format));
    }
  }

  void User(const Turn& turn) {
    out_.Control(kUserToken);
    for (size_t i = 0; i < turn.blocks.size(); ++i) {
      if (i > 0) out_.Text("\n\n");
      const Block& block = turn.blocks[i];
      if (block.is_result) out_.Fixed("<tool_result>");
      out_.Text(block.source->content);
      if (block.is_result) out_.Fixed("</tool_result>");
    }
  }

  Status Assistant(size_t i) {
    const Message& message = *turns_[i].message;
    const bool after_task = i > 0 && turns_[i - 1].task != nullptr;
    if (Thinking() && !after_task && (!drop_ || static_cast<int64_t>(i) > last_asking_)) {
      out_.Text(message.reasoning_content);
      out_.Control(kThinkClose);
    }
    out_.Text(message.content);
    if (!message.tool_calls.empty()) DSV_TRY(Calls(message.tool_calls));
    if (!message.without_eos) out_.Control(kEos);
    return {};
  }

  Status Calls(std::span<const ToolCall> calls) {
    out_.Text("\n\n");
    out_.Fixed(kCallsOpen);
    out_.Text(">\n");
    for (const ToolCall& call : calls) {
      out_.Fixed(kInvokeOpen);
      out_.Text(" name=\"");
      out_.Text(call.name);
      out_.Text("\">\n");
      DSV_TRY(Arguments(call));
      out_.Text("\n");
      out_.Fixed(kInvokeClose);
      out_.Text(">\n");
    }
    out_.Fixed(kCallsClose);
    return {};
  }

  Status Arguments(const ToolCall& call) {
    const JsonParse parse = ParseJsonText(call.arguments);
    if (parse.fault == JsonFault::kSyntax) {
      Parameter("arguments", JsonValue(call.arguments));
      return {};
    }
    if (parse.fault != JsonFault::kNone) {
      return Fail("arguments of the call '{}': {}", call.name, Describe(parse.fault, parse.at));
    }
    const JsonValue::Object* members = parse.value.object();
    if (members == nullptr) {
      return Fail("arguments of the call '{}': expected a JSON object, found {}", call.name,
                  parse.value.KindName());
    }
    for (size_t i = 0; i < members->size(); ++i) {
      if (i > 0) out_.Text("\n");
      Parameter((*members)[i].key, (*members)[i].value);
    }
    return {};
  }

  void Parameter(std::string_view key, const JsonValue& value) {
    const std::string* string = value.string();
    out_.Fixed(kParameterOpen);
    out_.Text(" name=\"");
    out_.Text(key);
    out_.Text(string != nullptr ? "\" string=\"true\">" : "\" string=\"false\">");
    out_.Text(string != nullptr ? *string : ToJson(value));
    out_.Fixed(kParameterClose);
    out_.Text(">");
  }

  // What leads from turn i to the reply after it.
  Status Transition(size_t i) {
    if (i + 1 < turns_.size()) {
      const Role next = turns_[i + 1].role;
      if (next != Role::kAssistant && next != Role::kLatestReminder) return {};
    }
    const Turn& turn = turns_[i];
    if (turn.task != nullptr) {
      const std::string_view token = FindTask(*turn.task);
      if (token.empty()) {
        return Fail(
            "message {}: expected the task action, query, authority, domain, title or read_url, "
            "found '{}'",
            i, *turn.task);
      }
      if (*turn.task == "action") {
        out_.Control(kAssistantToken);
        out_.Control(Thinking() ? kThinkOpen : kThinkClose);
      }
      out_.Control(token);
    } else if (turn.AsksForReply()) {
      out_.Control(kAssistantToken);
      const bool thinks = Thinking() && (!drop_ || static_cast<int64_t>(i) >= last_asking_);
      out_.Control(thinks ? kThinkOpen : kThinkClose);
    }
    return {};
  }

  std::span<const Turn> turns_;
  RenderOptions options_;
  bool drop_;
  int64_t last_asking_;
  SegmentWriter out_;
};

bool HasTools(std::span<const Turn> turns) {
  return std::any_of(turns.begin(), turns.end(), [](const Turn& turn) {
    return turn.message != nullptr && !turn.message->tools.empty();
  });
}

}  // namespace

Result<std::vector<Segment>> Render(std::span<const Message> messages, const RenderOptions& options,
                                    std::span<const Message> context) {
  std::vector<Turn> turns = Merge(messages);
  OrderResults(context, turns);
  std::vector<Turn> all = Merge(context);
  const bool drop = options.drop_thinking && !HasTools(turns) && !HasTools(all);
  size_t first = all.size();
  if (drop && options.mode == Mode::kThinking) first = Drop(all).size();
  all.insert(all.end(), std::make_move_iterator(turns.begin()),
             std::make_move_iterator(turns.end()));
  if (drop && options.mode == Mode::kThinking) all = Drop(all);

  TurnWriter writer(all, options, drop);
  if (options.add_bos && context.empty()) writer.Bos();
  for (size_t i = first; i < all.size(); ++i) DSV_TRY(writer.Write(i));
  return writer.Take();
}

std::string Join(std::span<const Segment> segments) {
  std::string text;
  for (const Segment& segment : segments) text += segment.text;
  return text;
}

std::optional<std::vector<Segment>> RenderedSuffix(std::span<const Segment> segments,
                                                   std::string_view fed) {
  std::vector<Segment> suffix;
  for (const Segment& segment : segments) {
    const size_t common = std::min(fed.size(), segment.text.size());
    const bool splits_token = segment.control && common > 0 && common < segment.text.size();
    if (splits_token || !fed.starts_with(std::string_view(segment.text).substr(0, common))) {
      return std::nullopt;
    }
    fed.remove_prefix(common);
    if (common < segment.text.size())
      suffix.push_back({segment.text.substr(common), segment.control});
  }
  if (!fed.empty()) return std::nullopt;
  return suffix;
}

}  // namespace dsv::chat
