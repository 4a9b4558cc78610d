// Operators of a layer besides its products: what reads the context, and what works on rows.
#include <fmt/format.h>

#include <vector>

#include "attention/attention.h"
#include "cli/bench/flash_costs.h"
#include "cli/bench/kernel_cases.h"
#include "cli/bench/random_values.h"
#include "cli/bench/samples.h"
#include "cli/bench/synthetic_model.h"
#include "kernels/matmul.h"
#include "kernels/norm.h"
#include "model/hyper_connection.h"
#include "moe/experts.h"
#include "moe/router.h"

namespace dsv::cli {
namespace {

std::vector<float> RandomRows(int64_t rows, int64_t width) {
  std::vector<float> x(static_cast<size_t>(rows * width));
  FillRandom(1, {ValueKind::kF32, 1}, std::as_writable_bytes(std::span(x)));
  return x;
}

template <class Run>
std::function<double(const OpContext&)> Timed(const Run& run) {
  return [&run](const OpContext& context) {
    const Stopwatch watch;
    run(context);
    return watch.Seconds();
  };
}

class LayerCases {
 public:
  LayerCases(const SyntheticModel& model, ThreadPool& pool, const KernelCaseVisitor& visit)
      : config_(model.config()),
        weights_(model.transformer().weights()),
        pool_(pool),
        visit_(visit),
        rope_(config_) {}

  // The index scan or the attention of a layer, by the time that it says it has spent there.
  void Context(const char* op, int64_t layer, int64_t tokens, int64_t rows, OperationCount time) {
    const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
    const SessionState state = SyntheticState(config_, tokens, pool_);
    const Attention attention(weights.attn, weights.kind, config_, rope_);
    const std::vector<float> x = RandomRows(rows, config_.hidden_size);
    std::vector<float> out(x.size());
    Batch batch;
    batch.segments.push_back({0, rows, tokens});
    for (int64_t i = 0; i < rows; ++i) {
      batch.tokens.push_back(0);
      batch.positions.push_back(tokens + i);
    }
    KernelCase one = Case(op, rows);
    const RowsRead read = RowsAt(config_, weights.kind, tokens);
    const bool is_scan = read.keys > 0 && time == &OperationCounts::index_scan_ns;
    one.shape = fmt::format("{} rows", is_scan ? read.keys : read.window + read.compressed);
    const OperatorAmounts bytes = RowBytes(config_, weights.kind, tokens);
    const MultiplyAdds work = LayerMultiplyAdds(config_, layer, tokens, tokens + rows);
    // The rows of an HCA layer, its window and the keys serve all queries, CSA rows one each.
    const bool is_gather = weights.kind == LayerKind::kCsa && !is_scan;
    for (const auto& [name, amount] : bytes) {
      if ((name == "index_scan") == is_scan) one.bytes += is_gather ? amount * rows : amount;
    }
    one.multiply_adds = is_scan ? work.index_scan : work.attention;
    one.arithmetic = is_scan ? Arithmetic::kInt8 : Arithmetic::kBf16;
    one.run = [&](const OpContext& context) {
      SessionState own = state.Copy();
      LayerState* const states[] = {&own.layers[static_cast<size_t>(layer)]};
      OperationCounts counts;
      const OpContext counting{context.kernels, context.pool, context.precision, &counts};
      attention.Forward(counting, batch, states, x.data(), nullptr, out.data());
      return 1e-9 * static_cast<double>(counts.*time);
    };
    visit_(one);
  }

  void Rows(int64_t rows) {
    Norms(rows);
    HyperConnections(rows);
    Router(rows);
    const int64_t inner = config_.moe_intermediate_size;
    const std::vector<float> gate = RandomRows(rows, inner);
    std::vector<float> out(gate.size());
    const auto swiglu = [&](const OpContext& context) {
      for (int64_t t = 0; t < rows; ++t) {
        const float* row = gate.data() + t * inner;
        SwiGlu(context, row, row, inner, config_.swiglu_limit, 1.0F, out.data() + t * inner);
      }
    };
    Visit("swiglu", fmt::format("{}", inner), rows, 8 * rows * inner, swiglu);
  }

 private:
  KernelCase Case(const char* op, int64_t rows) const {
    KernelCase one;
    one.op = op;
    one.rows = rows;
    return one;
  }

  template <class Run>
  void Visit(const char* op, const std::string& shape, int64_t rows, int64_t bytes,
             const Run& run) {
    KernelCase one = Case(op, rows);
    one.shape = shape;
    one.bytes = bytes;
    one.run = Timed(run);
    visit_(one);
  }

  void Norms(int64_t rows) {
    const int64_t d = config_.hidden_size;
    const std::vector<float> x = RandomRows(rows, d);
    std::vector<float> y(x.size());
    const auto quantize = [&](const OpContext& context) {
      QuantizeRows(context, x.data(), rows, d, y.data());
    };
    Visit("quantize", fmt::format("{}", d), rows, 4 * rows * d, quantize);
    const auto norm = [&](const OpContext& context) {
      RmsNorm(context, x.data(), rows, Layer().attn_norm, config_.rms_norm_eps, y.data());
    };
    Visit("rms_norm", fmt::format("{}", d), rows, 4 * rows * d, norm);
  }

  void HyperConnections(int64_t rows) {
    const int64_t n = config_.hc_mult;
    const int64_t d = config_.hidden_size;
    std::vector<float> streams = RandomRows(rows, n * d);
    std::vector<float> y(static_cast<size_t>(rows * d));
    HcCoefficients coefficients;
    const auto pre = [&](const OpContext& context) {
      coefficients = HcPre(context, Layer().hc_attn, config_, streams.data(), rows, y.data());
    };
    const std::string shape = fmt::format("{}x{}", n, d);
    const int64_t fn = 4 * Layer().hc_attn.fn.out * n * d;
    Visit("hc_pre", shape, rows, fn + 4 * rows * n * d, pre);
    const auto post = [&](const OpContext& context) {
      HcPost(context, coefficients, config_, y.data(), rows, streams.data());
    };
    Visit("hc_post", shape, rows, 4 * rows * (n + 1) * d, post);
    const std::vector<float> mix = RandomRows(rows, n * n);
    std::vector<float> comb;
    const auto sinkhorn = [&](const OpContext& context) {
      comb = mix;
      for (int64_t t = 0; t < rows; ++t) {
        context.kernels.streams.sinkhorn(comb.data() + t * n * n, config_.hc_sinkhorn_iters,
                                         static_cast<float>(config_.hc_eps));
      }
    };
    Visit("sinkhorn", fmt::format("{}x{}", n, n), rows, 4 * rows * n * n, sinkhorn);
  }

  void Router(int64_t rows) {
    const int64_t d = config_.hidden_size;
    const int64_t experts = config_.n_routed_experts;
    const std::vector<float> x = RandomRows(rows, d);
    std::vector<float> scores(static_cast<size_t>(rows * experts));
    const std::vector<int32_t> tokens(static_cast<size_t>(rows), 0);
    const auto route = [&](const OpContext& context) {
      RouterScores(context, Layer().ffn, x.data(), rows, scores.data());
      Route(context, Layer().ffn, config_, scores.data(), tokens);
    };
    Visit("router", fmt::format("{}x{}", experts, d), rows, 2 * experts * d + 4 * rows * d, route);
  }

  const LayerWeights& Layer() const { return weights_.layers.front(); }

  const ModelConfig& config_;
  const ModelWeights& weights_;
  ThreadPool& pool_;
  const KernelCaseVisitor& visit_;
  RopeTables rope_;
};

}  // namespace

Status ForEachLayerCase(const KernelCaseOptions& options, ThreadPool& pool,
                        const KernelCaseVisitor& visit) {
  DSV_ASSIGN(const SyntheticModel model,
             SyntheticModel::Make(SyntheticConfig({3, options.experts, 1024}), pool));
  LayerCases cases(model, pool, visit);
  constexpr int64_t kCsa = 1;
  constexpr int64_t kHca = 2;
  for (const int64_t keys : options.keys) {
    for (const int64_t rows : {1, 16, 64}) {
      cases.Context("index_scan", kCsa, 4 * keys, rows, &OperationCounts::index_scan_ns);
    }
  }
  for (const int64_t rows : options.rows) {
    const int64_t tokens = 4 * options.keys.front();
    cases.Context("attention_swa", 0, tokens, rows, &OperationCounts::csa_ns);
    cases.Context("attention_csa", kCsa, tokens, rows, &OperationCounts::csa_ns);
    cases.Context("attention_hca", kHca, tokens, rows, &OperationCounts::hca_ns);
  }
  for (const int64_t rows : options.rows) cases.Rows(rows);
  return {};
}

}  // namespace dsv::cli
