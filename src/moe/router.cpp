#include "moe/router.h"

#include <cmath>

#include "kernels/expand.h"
#include "kernels/for_rows.h"
#include "kernels/matmul.h"
#include "tensor/number_formats.h"

namespace dsv {
namespace {

// The k largest of score + bias, larger first, ties to the lower index. NaN counts as the smallest
// value, so that the order stays strict whatever the weights hold. best is scratch for [k].
void ChooseByScore(const float* scores, const std::vector<float>& bias, int64_t k, float* best,
                   int32_t* ids) {
  int64_t chosen = 0;
  for (size_t e = 0; e < bias.size(); ++e) {
    const float sum = scores[e] + bias[e];
    const float value = std::isnan(sum) ? -INFINITY : sum;
    if (chosen == k && !(value > best[k - 1])) continue;
    int64_t place = chosen < k ? chosen++ : k - 1;
    for (; place > 0 && value > best[place - 1]; --place) {
      best[place] = best[place - 1];
      ids[place] = ids[place - 1];
    }
    best[place] = value;
    ids[place] = static_cast<int32_t>(e);
  }
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
  ForRows(context, rows, 8 * experts, [&](int64_t row) {
    context.kernels.gates.router_scores(scores + row * experts, experts, scores + row * experts);
  });
}

Routes Route(const OpContext& context, const MoeWeights& weights, const ModelConfig& config,
             const float* scores, const std::vector<int32_t>& tokens) {
  const int64_t k = config.num_experts_per_tok;
  const auto rows = static_cast<int64_t>(tokens.size());
  Routes routes{std::vector<int32_t>(static_cast<size_t>(rows * k)),
                std::vector<float>(static_cast<size_t>(rows * k))};
  const std::vector<float> bias = weights.bias ? ExpandVector(*weights.bias) : std::vector<float>();
  ForRows(context, rows, 4 * config.n_routed_experts, [&](int64_t t) {
    const float* row = scores + t * config.n_routed_experts;
    int32_t* ids = routes.ids.data() + t * k;
    float* chosen = routes.weights.data() + t * k;
    if (weights.bias) {
      ChooseByScore(row, bias, k, chosen, ids);
    } else {
      ChooseByHash(weights.tid2eid, tokens[static_cast<size_t>(t)], k, ids);
    }
    float sum = 0;
    for (int64_t i = 0; i < k; ++i) sum += row[ids[i]];
    for (int64_t i = 0; i < k; ++i) {
      chosen[i] = row[ids[i]] / sum * static_cast<float>(config.routed_scaling_factor);
    }
  });
  return routes;
}

}  // namespace dsv
