#include "moe/router.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/expand.h"
#include "kernels/matmul.h"
#include "tensor/number_formats.h"

namespace dsv {
namespace {

float SqrtSoftplus(float a) {
  constexpr float kLinearAbove = 20.0F;
  return std::sqrt(a > kLinearAbove ? a : std::log1p(std::exp(a)));
}

// The k largest of score + bias, larger first. NaN counts as the smallest value, so that the order
// stays strict whatever the weights hold.
void ChooseByScore(const float* scores, const std::vector<float>& bias, int64_t k, int32_t* ids) {
  std::vector<float> biased(bias.size());
  for (size_t e = 0; e < bias.size(); ++e) {
    const float value = scores[e] + bias[e];
    biased[e] = std::isnan(value) ? -INFINITY : value;
  }
  std::vector<int32_t> order(bias.size());
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](int32_t a, int32_t b) {
    const float va = biased[static_cast<size_t>(a)];
    const float vb = biased[static_cast<size_t>(b)];
    return va > vb || (va == vb && a < b);
  });
  std::copy(order.begin(), order.begin() + k, ids);
}

void ChooseByHash(const std::byte* tid2eid, int32_t token, int64_t k, int32_t* ids) {
  for (int64_t i = 0; i < k; ++i) {
    ids[i] = static_cast<int32_t>(LoadUnaligned<int64_t>(tid2eid + (token * k + i) * 8));
  }
}

}  // namespace

void RouterScores(const OpContext& context, const MoeWeights& weights, const float* x, int64_t rows,
                  float* scores) {
  const OperationTimer timer(context, &OperationCounts::router_ns);
  MatMul(context, LinearKind::kF32, x, rows, weights.gate, scores);
  const int64_t experts = weights.gate.out;
  for (int64_t i = 0; i < rows * experts; ++i) scores[i] = SqrtSoftplus(scores[i]);
}

Routes Route(const MoeWeights& weights, const ModelConfig& config, const float* scores,
             const std::vector<int32_t>& tokens) {
  const int64_t k = config.num_experts_per_tok;
  const auto rows = static_cast<int64_t>(tokens.size());
  Routes routes{std::vector<int32_t>(static_cast<size_t>(rows * k)),
                std::vector<float>(static_cast<size_t>(rows * k))};
  const std::vector<float> bias = weights.bias ? ExpandVector(*weights.bias) : std::vector<float>();
  for (int64_t t = 0; t < rows; ++t) {
    const float* row = scores + t * config.n_routed_experts;
    int32_t* ids = routes.ids.data() + t * k;
    if (weights.bias) {
      ChooseByScore(row, bias, k, ids);
    } else {
      ChooseByHash(weights.tid2eid, tokens[static_cast<size_t>(t)], k, ids);
    }
    float sum = 0;
    for (int64_t i = 0; i < k; ++i) sum += row[ids[i]];
    for (int64_t i = 0; i < k; ++i) {
      routes.weights[static_cast<size_t>(t * k + i)] =
          row[ids[i]] / sum * static_cast<float>(config.routed_scaling_factor);
    }
  }
  return routes;
}

}  // namespace dsv
