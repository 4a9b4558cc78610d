// The feed-forward sub-layer: routed experts and the shared expert (spec 4.9).
#pragma once

#include <cstdint>
#include <vector>

#include "checkpoint/config.h"
#include "checkpoint/weights.h"
#include "kernels/context.h"
#include "kernels/observer.h"
#include "moe/router.h"

namespace dsv {

// v = (g * sigmoid(g)) * u * weight with g clamped from above and u from both sides, b16 in
// reference precision. g, u and v are [n] and may overlap exactly.
void SwiGlu(const OpContext& context, const float* g, const float* u, int64_t n, double limit,
            float weight, float* v);

// x and y are [rows, d]; tokens are the input ids of the rows (for hash routing).
void Moe(const OpContext& context, const MoeWeights& weights, const ModelConfig& config,
         const float* x, const std::vector<int32_t>& tokens, const Observer& observe, float* y);

// One expert on some rows: x is [rows, d], route_weights [rows] or null for the shared expert.
struct ExpertCall {
  const ExpertWeights* expert = nullptr;
  const float* x = nullptr;  // [rows, d], stride d
  const float* route_weights = nullptr;
  int64_t rows = 0;
  float* y = nullptr;  // [rows, d]
};

// Runs all calls together: one parallel loop per projection.
void RunExperts(const OpContext& context, const ModelConfig& config,
                const std::vector<ExpertCall>& calls);

}  // namespace dsv
