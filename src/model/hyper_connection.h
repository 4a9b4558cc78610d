// Manifold-constrained hyper-connections: the mixing of the n residual streams around a sub-layer
// (spec 4.3) and before the head (4.10).
#pragma once

#include <cstdint>
#include <vector>

#include "checkpoint/config.h"
#include "checkpoint/weights.h"
#include "kernels/context.h"

namespace dsv {

struct HcCoefficients {
  std::vector<float> mix;   // [rows, (2 + n) * n], M of the specification
  std::vector<float> pre;   // [rows, n]
  std::vector<float> post;  // [rows, n]
  std::vector<float> comb;  // [rows, n, n], source stream first
};

// What operators that follow each other on the same rows may share.
struct HcFusion {
  // Sums of the squares of the streams, [rows], as HcPost leaves them; null: HcPre forms them.
  const float* squares = nullptr;
  // The weight of the RMS norm that follows; null: none follows.
  const VectorView* norm = nullptr;
};

// streams is [rows, n, d], y [rows, d] = b16(sum_j pre_j X_j), normed if `fusion` says so.
HcCoefficients HcPre(const OpContext& context, const HyperConnectionWeights& weights,
                     const ModelConfig& config, const float* streams, int64_t rows, float* y,
                     const HcFusion& fusion = {});

// streams <- b16(post_k u + sum_j comb_jk X_j), in place; u is the sub-layer's output [rows, d].
// `squares`, [rows] or null, gets the sums of the squares of the result.
void HcPost(const OpContext& context, const HcCoefficients& coefficients, const ModelConfig& config,
            const float* u, int64_t rows, float* streams, float* squares = nullptr);

// The collapse before the final norm: y is [rows, d], normed if `fusion` says so.
void HcHead(const OpContext& context, const HyperConnectionWeights& weights,
            const ModelConfig& config, const float* streams, int64_t rows, float* y,
            const HcFusion& fusion = {});

}  // namespace dsv
