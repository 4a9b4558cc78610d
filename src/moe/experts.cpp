#include "moe/experts.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/matmul.h"
#include "kernels/quant.h"
#include "tensor/number_formats.h"

namespace dsv {
namespace {

// Which rows of the batch an expert serves, and where the results go.
struct ExpertRows {
  std::vector<int64_t> rows;   // of the batch
  std::vector<int64_t> slots;  // row * K + position in the ascending order of the row's experts
};

// Groups the chosen (row, expert) pairs by expert. Slots of a row are in ascending expert id, the
// order in which they are summed.
std::vector<ExpertRows> GroupByExpert(const Routes& routes, int64_t rows, int64_t k,
                                      int64_t experts, std::vector<float>& slot_weights) {
  std::vector<ExpertRows> groups(static_cast<size_t>(experts));
  slot_weights.resize(static_cast<size_t>(rows * k));
  std::vector<std::pair<int32_t, float>> chosen(static_cast<size_t>(k));
  for (int64_t t = 0; t < rows; ++t) {
    for (int64_t i = 0; i < k; ++i) {
      const auto at = static_cast<size_t>(t * k + i);
      chosen[static_cast<size_t>(i)] = {routes.ids[at], routes.weights[at]};
    }
    std::sort(chosen.begin(), chosen.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    for (int64_t i = 0; i < k; ++i) {
      const auto [id, weight] = chosen[static_cast<size_t>(i)];
      ExpertRows& group = groups[static_cast<size_t>(id)];
      group.rows.push_back(t);
      group.slots.push_back(t * k + i);
      slot_weights[static_cast<size_t>(t * k + i)] = weight;
    }
  }
  return groups;
}

void AddRows(const OpContext& context, const std::vector<ExpertCall>& calls,
             const std::vector<const float*>& slots, int64_t rows, int64_t k, int64_t d, float* y) {
  const float* shared = calls.front().y;
  context.pool.ParallelFor(rows, [&](int64_t t, int64_t) {
    float* out = y + t * d;
    std::fill(out, out + d, 0.0F);
    for (int64_t i = 0; i < k; ++i) {
      const float* expert = slots[static_cast<size_t>(t * k + i)];
      for (int64_t j = 0; j < d; ++j) out[j] += expert[j];
    }
    for (int64_t j = 0; j < d; ++j) out[j] += shared[t * d + j];
    if (context.reference()) RoundBf16Row(out, d);
  });
}

}  // namespace

void SwiGlu(const OpContext& context, const float* g, const float* u, int64_t n, double limit,
            float weight, float* v) {
  const auto max = static_cast<float>(limit);
  for (int64_t i = 0; i < n; ++i) {
    const float gate = std::min(g[i], max);
    const float up = std::min(std::max(u[i], -max), max);
    v[i] = gate / (1.0F + std::exp(-gate)) * up * weight;
  }
  if (context.reference()) RoundBf16Row(v, n);
}

void RunExperts(const OpContext& context, const ModelConfig& config,
                std::vector<ExpertCall>& calls) {
  const OperationTimer timer(context, &OperationCounts::experts_ns);
  const int64_t d = config.hidden_size;
  const int64_t inner = config.moe_intermediate_size;
  std::vector<MatMulJob> jobs;
  for (ExpertCall& call : calls) {
    call.gate.resize(static_cast<size_t>(call.rows * inner));
    call.up.resize(call.gate.size());
    const ExpertWeights& w = *call.expert;
    jobs.push_back({call.x, d, call.rows, &w.w1, 0, inner, call.gate.data(), inner});
    jobs.push_back({call.x, d, call.rows, &w.w3, 0, inner, call.up.data(), inner});
  }
  MatMul(context, LinearKind::kQuantized, jobs);
  jobs.clear();
  std::vector<std::pair<const ExpertCall*, int64_t>> rows;
  for (ExpertCall& call : calls) {
    for (int64_t t = 0; t < call.rows; ++t) rows.emplace_back(&call, t);
    jobs.push_back({call.gate.data(), inner, call.rows, &call.expert->w2, 0, d, call.y, d});
  }
  context.pool.ParallelFor(static_cast<int64_t>(rows.size()), [&](int64_t i, int64_t) {
    const auto [call, t] = rows[static_cast<size_t>(i)];
    float* gate = const_cast<float*>(call->gate.data()) + t * inner;
    float* up = const_cast<float*>(call->up.data()) + t * inner;
    const float weight = call->route_weights == nullptr ? 1.0F : call->route_weights[t];
    SwiGlu(context, gate, up, inner, config.swiglu_limit, weight, up);
    if (NeedsQuantizedInput(context, call->expert->w2)) {
      QuantizeActivation(up, inner, gate);
    } else {
      std::copy(up, up + inner, gate);
    }
  });
  MatMul(context, LinearKind::kQuantized, jobs);
}

void Moe(const OpContext& context, const MoeWeights& weights, const ModelConfig& config,
         const float* x, const std::vector<int32_t>& tokens, const Observer& observe, float* y) {
  const auto rows = static_cast<int64_t>(tokens.size());
  const int64_t d = config.hidden_size;
  const int64_t k = config.num_experts_per_tok;
  std::vector<float> scores(static_cast<size_t>(rows * config.n_routed_experts));
  RouterScores(context, weights, x, rows, scores.data());
  const Routes routes = Route(weights, config, scores.data(), tokens);
  if (observe) {
    observe("expert_ids", std::vector<float>(routes.ids.begin(), routes.ids.end()).data(), rows, k);
    observe("expert_weights", routes.weights.data(), rows, k);
  }

  std::vector<float> slot_weights;
  const std::vector<ExpertRows> groups =
      GroupByExpert(routes, rows, k, config.n_routed_experts, slot_weights);
  std::vector<float> quantized(static_cast<size_t>(rows * d));
  QuantizeRows(context, x, rows, d, quantized.data());
  const auto input_of = [&](const ExpertWeights& expert) {
    return NeedsQuantizedInput(context, expert.w1) ? quantized.data() : x;
  };

  std::vector<float> shared(static_cast<size_t>(rows * d));
  std::vector<float> expert_in(static_cast<size_t>(rows * k * d));
  std::vector<float> expert_out(expert_in.size());
  std::vector<float> weights_in_order(static_cast<size_t>(rows * k));
  std::vector<const float*> slots(static_cast<size_t>(rows * k));
  std::vector<ExpertCall> calls;
  calls.push_back({&weights.shared_experts,
                   input_of(weights.shared_experts),
                   nullptr,
                   rows,
                   shared.data(),
                   {},
                   {}});
  int64_t used = 0;
  for (size_t e = 0; e < groups.size(); ++e) {
    const auto count = static_cast<int64_t>(groups[e].rows.size());
    if (count == 0) continue;
    const float* input = input_of(weights.experts[e]);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = groups[e].rows[static_cast<size_t>(i)];
      const int64_t slot = groups[e].slots[static_cast<size_t>(i)];
      std::copy(input + row * d, input + (row + 1) * d, expert_in.data() + (used + i) * d);
      weights_in_order[static_cast<size_t>(used + i)] = slot_weights[static_cast<size_t>(slot)];
      slots[static_cast<size_t>(slot)] = expert_out.data() + (used + i) * d;
    }
    calls.push_back({&weights.experts[e],
                     expert_in.data() + used * d,
                     weights_in_order.data() + used,
                     count,
                     expert_out.data() + used * d,
                     {},
                     {}});
    used += count;
  }
  RunExperts(context, config, calls);
  AddRows(context, calls, slots, rows, k, d, y);
  Observe(observe, "moe_out", y, rows, d);
}

}  // namespace dsv
