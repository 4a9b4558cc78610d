#include "cli/token_scores.h"

#include <algorithm>
#include <cmath>

#include "cli/progress.h"

namespace dsv::cli {
namespace {

// -log softmax(logits)[token]
double NegativeLogLikelihood(std::span<const float> logits, dsv4::TokenId token) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - max);
  return max + std::log(sum) - static_cast<double>(logits[static_cast<size_t>(token)]);
}

}  // namespace

Status ForEachBlock(const dsv4::Engine& engine, const ScoreOptions& options,
                    std::span<const dsv4::TokenId> tokens,
                    const std::function<Status(size_t, const dsv4::WorkLogits&)>& visit) {
  const int64_t limit = engine.memory().context;
  if (std::ssize(tokens) > limit) {
    return Fail("{}: expected at most {} tokens (the longest session), found {}", options.source,
                limit, tokens.size());
  }
  DSV_ASSIGN(dsv4::Session session, engine.NewSession(options.mtp));
  Progress progress("scoring", "tokens", std::ssize(tokens));
  const auto mtp = options.mtp ? dsv4::LogitRows::kAll : dsv4::LogitRows::kNone;
  const auto block = static_cast<size_t>(std::min(options.chunk, kMaxScoreBlock));
  for (size_t begin = 0; begin < tokens.size(); begin += block) {
    const size_t count = std::min(block, tokens.size() - begin);
    const dsv4::Work work{&session, tokens.subspan(begin, count), dsv4::LogitRows::kAll, mtp};
    DSV_ASSIGN(const auto results, engine.Forward(std::span(&work, 1)));
    DSV_TRY(visit(begin, results.front()));
    progress.Update(static_cast<int64_t>(begin + count));
  }
  return {};
}

Status ForEachLikelihood(const dsv4::Engine& engine, const ScoreOptions& options,
                         std::span<const dsv4::TokenId> tokens,
                         const std::function<void(size_t, double)>& visit) {
  const auto vocab = static_cast<size_t>(engine.info().vocab_size);
  return ForEachBlock(
      engine, options, tokens, [&](size_t begin, const dsv4::WorkLogits& result) -> Status {
        const std::span<const float> logits = result.logits;
        for (size_t i = 0; i * vocab < logits.size(); ++i) {
          const size_t next = begin + i + 1;
          if (next == tokens.size()) break;
          visit(next, NegativeLogLikelihood(logits.subspan(i * vocab, vocab), tokens[next]));
        }
        return {};
      });
}

}  // namespace dsv::cli
