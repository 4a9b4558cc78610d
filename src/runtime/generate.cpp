// Session::Append and Generate of the public header.
#include <algorithm>
#include <chrono>
#include <utility>

#include "base/result.h"
#include "dsv4/dsv4.h"

namespace dsv4 {
namespace {

using dsv::Fail;
using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

bool IsStop(const Session& session, const GenerateOptions& options, TokenId token) {
  const auto is_in = [token](const std::vector<TokenId>& tokens) {
    return std::find(tokens.begin(), tokens.end(), token) != tokens.end();
  };
  const ModelInfo& info = session.info();
  return token == info.eos_token_id || is_in(info.more_stop_tokens) || is_in(options.stop_tokens);
}

Status CheckIds(const ModelInfo& info, const GenerateOptions& options) {
  const auto check = [&](const char* name, TokenId token) -> Status {
    if (token >= 0 && token < info.vocab_size) return {};
    return Fail("{}: expected token ids below {}, found {}", name, info.vocab_size, token);
  };
  for (const TokenId token : options.stop_tokens) DSV_TRY(check("stop_tokens", token));
  for (const auto& [token, bias] : options.sampling.logit_bias) {
    DSV_TRY(check("logit_bias", token));
  }
  return {};
}

}  // namespace

Result<Generation> Generate(Session& session, std::span<const TokenId> prompt,
                            const GenerateOptions& options,
                            const std::function<bool(std::string_view)>& on_text) {
  if (session.tokenizer() == nullptr) {
    return Fail("generate: the checkpoint has no tokenizer.json to make text with");
  }
  DSV_TRY(CheckIds(session.info(), options));
  DSV_ASSIGN(Sampler sampler, Sampler::Create(options.sampling));
  sampler.AcceptPrompt(session.tokens());
  sampler.AcceptPrompt(prompt);
  TextStream stream(*session.tokenizer(), options.stop_strings);
  Generation result;
  result.prompt_tokens = static_cast<int64_t>(prompt.size());
  bool cancelled = false;
  const auto give_out = [&](const std::string& text) {
    result.text += text;
    if (on_text && !text.empty() && !on_text(text)) cancelled = true;
  };

  Clock::time_point start = Clock::now();
  if (prompt.empty()) return Fail("prompt: expected at least one token, found none");
  std::vector<TokenId> before(session.tokens().begin(), session.tokens().end());
  const auto held = static_cast<int64_t>(before.size());
  before.insert(before.end(), prompt.begin(), prompt.end() - 1);
  DSV_ASSIGN(const SyncReport sync, session.Sync(before, options.prompt_progress));
  result.reused_tokens = std::max<int64_t>(sync.kept + sync.restored - held, 0);
  DSV_ASSIGN(std::vector<float> logits, session.Append(prompt.last(1)));
  if (options.save_prompt) DSV_TRY(session.Save());
  result.prompt_seconds = SecondsSince(start);
  start = Clock::now();
  while (static_cast<int64_t>(result.tokens.size()) < options.max_tokens) {
    const TokenId token = sampler.Sample(logits);
    result.tokens.push_back(token);
    if (IsStop(session, options, token)) {
      result.finish = FinishReason::kStopToken;
      break;
    }
    DSV_ASSIGN(const std::string text, stream.Feed(token));
    give_out(text);
    if (stream.stopped() || cancelled) {
      result.finish = cancelled ? FinishReason::kCancelled : FinishReason::kStopString;
      break;
    }
    if (session.size() == session.max_size()) {
      result.finish = FinishReason::kContext;
      break;
    }
    if (static_cast<int64_t>(result.tokens.size()) == options.max_tokens) break;
    DSV_ASSIGN(logits, session.Append(std::span(&token, 1)));
  }
  if (!cancelled) give_out(stream.Finish());
  result.decode_seconds = SecondsSince(start);
  return result;
}

}  // namespace dsv4
