#include "moe/experts.h"

#include <algorithm>
#include <utility>

#include "kernels/for_rows.h"
#include "kernels/matmul.h"
#include "kernels/quant.h"
#include "kernels/scratch.h"

namespace dsv {
namespace {

// The chosen (row, expert) pairs by expert, rows ascending.
struct Pairs {
  std::vector<int64_t> begin;  // [E + 1]; the pairs of expert e are [begin[e], begin[e + 1])
  std::vector<int64_t> row;    // [rows * K], of the batch
  std::vector<float> weight;   // [rows * K]
  // [rows, K]: the pairs of a row in ascending expert id, the order in which they are summed.
  std::vector<int64_t> of_row;
};

Pairs GroupByExpert(const Routes& routes, int64_t rows, int64_t k, int64_t experts) {
  const auto count = static_cast<size_t>(rows * k);
  Pairs pairs{std::vector<int64_t>(static_cast<size_t>(experts + 1)), std::vector<int64_t>(count),
              std::vector<float>(count), std::vector<int64_t>(count)};
  for (const int32_t id : routes.ids) ++pairs.begin[static_cast<size_t>(id) + 1];
  for (size_t e = 1; e < pairs.begin.size(); ++e) pairs.begin[e] += pairs.begin[e - 1];
  std::vector<int64_t> next(pairs.begin.begin(), pairs.begin.end() - 1);
  for (size_t i = 0; i < count; ++i) {
    const auto pair = static_cast<size_t>(next[static_cast<size_t>(routes.ids[i])]++);
    pairs.row[pair] = static_cast<int64_t>(i) / k;
    pairs.weight[pair] = routes.weights[i];
    pairs.of_row[i] = static_cast<int64_t>(pair);
  }
  // Pairs are in the order of experts.
  for (auto of_row = pairs.of_row.begin(); of_row != pairs.of_row.end(); of_row += k) {
    std::sort(of_row, of_row + k);
  }
  return pairs;
}

void CopyRows(const OpContext& context, const std::vector<const float*>& sources, int64_t d,
              float* rows) {
  ForRows(context, std::ssize(sources), d, [&](int64_t i) {
    const float* source = sources[static_cast<size_t>(i)];
    std::copy(source, source + d, rows + i * d);
  });
}

// y = b16(the outputs of a row's experts, then the shared one's)
void AddOutputs(const OpContext& context, const Pairs& pairs, const float* outputs,
                const float* shared, int64_t rows, int64_t d, float* y) {
  const int64_t k = std::ssize(pairs.row) / rows;
  const ScratchArray<const float*> parts(context, rows * (k + 1));
  ForRows(context, rows, (k + 1) * d, [&](int64_t t) {
    const float** of_row = parts.data() + t * (k + 1);
    for (int64_t i = 0; i < k; ++i) {
      of_row[i] = outputs + pairs.of_row[static_cast<size_t>(t * k + i)] * d;
    }
    of_row[k] = shared + t * d;
    context.kernels.rows.sum_rows(of_row, k + 1, d, context.reference(), y + t * d);
  });
}

}  // namespace

void SwiGlu(const OpContext& context, const float* g, const float* u, int64_t n, double limit,
            float weight, float* v) {
  context.kernels.gates.swiglu(g, u, n, static_cast<float>(limit), weight, context.reference(), v);
}

void RunExperts(const OpContext& context, const ModelConfig& config,
                const std::vector<ExpertCall>& calls) {
  const OperationTimer timer(context, &OperationCounts::experts_ns);
  const int64_t d = config.hidden_size;
  const int64_t inner = config.moe_intermediate_size;
  std::vector<std::pair<const ExpertCall*, int64_t>> rows;
  for (const ExpertCall& call : calls) {
    for (int64_t t = 0; t < call.rows; ++t) rows.emplace_back(&call, t);
  }
  const ScratchArray<float> gates(context, std::ssize(rows) * inner);
  const ScratchArray<float> ups(context, std::ssize(rows) * inner);
  std::vector<MatMulJob> in;
  std::vector<MatMulJob> out;
  int64_t row = 0;
  for (const ExpertCall& call : calls) {
    const ExpertWeights& w = *call.expert;
    float* gate = gates.data() + row * inner;
    float* up = ups.data() + row * inner;
    in.push_back({call.x, d, call.rows, &w.w1, 0, inner, gate, inner});
    in.push_back({call.x, d, call.rows, &w.w3, 0, inner, up, inner});
    out.push_back({up, inner, call.rows, &w.w2, 0, d, call.y, d});
    row += call.rows;
  }
  MatMul(context, LinearKind::kQuantized, in);
  ForRows(context, std::ssize(rows), 4 * inner, [&](int64_t i) {
    const auto [call, t] = rows[static_cast<size_t>(i)];
    float* up = ups.data() + i * inner;
    const float weight = call->route_weights == nullptr ? 1.0F : call->route_weights[t];
    SwiGlu(context, gates.data() + i * inner, up, inner, config.swiglu_limit, weight, up);
    if (NeedsQuantizedInput(context, call->expert->w2)) {
      QuantizeActivation(context.kernels, up, inner, up);
    }
  });
  MatMul(context, LinearKind::kQuantized, out);
}

void Moe(const OpContext& context, const MoeWeights& weights, const ModelConfig& config,
         const float* x, const std::vector<int32_t>& tokens, const Observer& observe, float* y) {
  const auto rows = static_cast<int64_t>(tokens.size());
  const int64_t d = config.hidden_size;
  const int64_t k = config.num_experts_per_tok;
  const ScratchArray<float> scores(context, rows * config.n_routed_experts);
  RouterScores(context, weights, x, rows, scores.data());
  const Routes routes = Route(context, weights, config, scores.data(), tokens);
  if (observe) {
    observe("expert_ids", std::vector<float>(routes.ids.begin(), routes.ids.end()).data(), rows, k);
    observe("expert_weights", routes.weights.data(), rows, k);
  }

  const Pairs pairs = GroupByExpert(routes, rows, k, config.n_routed_experts);
  const ScratchArray<float> quantized(context, rows * d);
  QuantizeRows(context, x, rows, d, quantized.data());
  const auto input_of = [&](const ExpertWeights& expert) {
    return NeedsQuantizedInput(context, expert.w1) ? quantized.data() : x;
  };

  const ScratchArray<float> shared(context, rows * d);
  // A single row is every expert's input; of many, each expert gets its own one after another.
  const bool single = rows == 1;
  const ScratchArray<float> inputs(context, single ? 0 : rows * k * d);
  const ScratchArray<float> outputs(context, rows * k * d);
  std::vector<ExpertCall> calls;
  calls.push_back(
      {&weights.shared_experts, input_of(weights.shared_experts), nullptr, rows, shared.data()});
  std::vector<const float*> sources;
  for (size_t e = 0; e + 1 < pairs.begin.size(); ++e) {
    const int64_t first = pairs.begin[e];
    const int64_t end = pairs.begin[e + 1];
    if (first == end) continue;
    const float* input = input_of(weights.experts[e]);
    calls.push_back({&weights.experts[e], single ? input : inputs.data() + first * d,
                     pairs.weight.data() + first, end - first, outputs.data() + first * d});
    for (int64_t i = first; i < end && !single; ++i) {
      sources.push_back(input + pairs.row[static_cast<size_t>(i)] * d);
    }
  }
  CopyRows(context, sources, d, inputs.data());
  RunExperts(context, config, calls);
  AddOutputs(context, pairs, outputs.data(), shared.data(), rows, d, y);
  Observe(observe, "moe_out", y, rows, d);
}

}  // namespace dsv
