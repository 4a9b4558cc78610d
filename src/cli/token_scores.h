// Logits and likelihoods of given tokens, in blocks: logits of the whole text are never in memory.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "base/result.h"
#include "dsv4/dsv4.h"

namespace dsv::cli {

struct ScoreOptions {
  int64_t chunk = 256;          // tokens of a block, at most kMaxScoreBlock
  bool mtp = false;             // MTP logits too
  std::string source = "text";  // names the tokens in errors
};
inline constexpr int64_t kMaxScoreBlock = 1024;

// Feeds the tokens to a new session and hands out all logits of each block: visit(index of its
// first token, result).
Status ForEachBlock(const dsv4::Engine& engine, const ScoreOptions& options,
                    std::span<const dsv4::TokenId> tokens,
                    const std::function<Status(size_t, const dsv4::WorkLogits&)>& visit);

// visit(i, -log p(tokens[i])) given the tokens before it, for i from 1 on.
Status ForEachLikelihood(const dsv4::Engine& engine, const ScoreOptions& options,
                         std::span<const dsv4::TokenId> tokens,
                         const std::function<void(size_t, double)>& visit);

}  // namespace dsv::cli
