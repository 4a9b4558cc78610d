// ReadChat of the public header.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "base/result.h"
#include "base/utf8.h"
#include "chat/literals.h"
#include "dsv4/dsv4.h"

namespace dsv4 {
namespace {

using dsv::Fail;

// Takes tokens of a conversation apart at the control tokens that begin a turn.
class HistoryReader {
 public:
  explicit HistoryReader(const Tokenizer& tokenizer)
      : tokenizer_(tokenizer),
        bos_(tokenizer.FindAdded(dsv::chat::kBos)),
        eos_(tokenizer.FindAdded(dsv::chat::kEos)),
        user_(tokenizer.FindAdded(dsv::chat::kUserToken)),
        assistant_(tokenizer.FindAdded(dsv::chat::kAssistantToken)),
        think_(tokenizer.FindAdded(dsv::chat::kThinkOpen)),
        answer_(tokenizer.FindAdded(dsv::chat::kThinkClose)) {}

  Result<std::vector<Message>> Read(std::span<const TokenId> tokens) {
    if (tokens.empty()) return std::move(messages_);
    if (!bos_ || tokens.front() != *bos_) {
      return Fail("chat: expected tokens that begin with BOS, found {}", tokens.front());
    }
    tokens = tokens.subspan(1);
    DSV_ASSIGN(const std::string system, TextOf(TakeTurn(tokens)));
    if (!system.empty()) messages_.push_back({.role = Role::kSystem, .content = system});
    while (!tokens.empty()) {
      const bool is_user = tokens.front() == user_;
      tokens = tokens.subspan(1);
      DSV_TRY(is_user ? ReadUser(TakeTurn(tokens)) : ReadAssistant(TakeTurn(tokens)));
    }
    return std::move(messages_);
  }

 private:
  // The tokens before the next turn, which are taken off `tokens`.
  std::span<const TokenId> TakeTurn(std::span<const TokenId>& tokens) const {
    const auto end = std::find_if(tokens.begin(), tokens.end(), [this](TokenId token) {
      return token == user_ || token == assistant_;
    });
    const auto turn = tokens.first(static_cast<size_t>(end - tokens.begin()));
    tokens = tokens.subspan(turn.size());
    return turn;
  }

  Result<std::string> TextOf(std::span<const TokenId> tokens) const {
    DSV_ASSIGN(const std::string bytes, tokenizer_.Decode(tokens));
    return dsv::RepairUtf8(bytes);
  }

  Status ReadUser(std::span<const TokenId> turn) {
    DSV_ASSIGN(std::string text, TextOf(turn));
    messages_.push_back({.role = Role::kUser, .content = std::move(text)});
    return {};
  }

  Status ReadAssistant(std::span<const TokenId> turn) {
    // The opener is the prompt's, the rest the reply's.
    const bool is_thinking = !turn.empty() && turn.front() == think_;
    if (is_thinking || (!turn.empty() && turn.front() == answer_)) turn = turn.subspan(1);
    if (!turn.empty() && turn.back() == eos_) turn = turn.first(turn.size() - 1);
    DSV_ASSIGN(const std::string text, TextOf(turn));
    ReplyParser parser({.thinking = is_thinking ? Thinking::kHigh : Thinking::kNone});
    parser.Feed(text);
    messages_.push_back(parser.Finish().message);
    return {};
  }

  const Tokenizer& tokenizer_;
  std::optional<TokenId> bos_;
  std::optional<TokenId> eos_;
  std::optional<TokenId> user_;
  std::optional<TokenId> assistant_;
  std::optional<TokenId> think_;
  std::optional<TokenId> answer_;
  std::vector<Message> messages_;
};

}  // namespace

Result<std::vector<Message>> ReadChat(const Tokenizer& tokenizer, std::span<const TokenId> tokens) {
  return HistoryReader(tokenizer).Read(tokens);
}

}  // namespace dsv4
