// Which experts a token uses and with what weight (spec 4.9).
#pragma once

#include <cstdint>
#include <vector>

#include "checkpoint/config.h"
#include "checkpoint/weights.h"
#include "kernels/context.h"

namespace dsv {

struct Routes {
  std::vector<int32_t> ids;    // [rows, K], in order of choice
  std::vector<float> weights;  // [rows, K]
};

// sqrt(softplus(a)) for every expert: x is [rows, d], scores [rows, E].
void RouterScores(const OpContext& context, const MoeWeights& weights, const float* x, int64_t rows,
                  float* scores);

// Chooses by score plus bias (ties to the lower id), or by the hash table of the token id.
Routes Route(const OpContext& context, const MoeWeights& weights, const ModelConfig& config,
             const float* scores, const std::vector<int32_t>& tokens);

}  // namespace dsv
