#include "attention/attention.h"

#include <algorithm>

#include "attention/attend.h"
#include "kernels/expand.h"
#include "kernels/for_rows.h"
#include "kernels/matmul.h"
#include "kernels/norm.h"
#include "kernels/quant.h"
#include "kernels/scratch.h"

namespace dsv {

RopeTables::RopeTables(const ModelConfig& config)
    : plain(RopeFrequencies(config.qk_rope_head_dim, config.rope_theta, RopeScaling{})),
      compressed(
          RopeFrequencies(config.qk_rope_head_dim, config.compress_rope_theta,
                          RopeScaling{config.rope_scaling.factor, config.rope_scaling.beta_fast,
                                      config.rope_scaling.beta_slow,
                                      config.rope_scaling.original_max_position_embeddings})) {}

Attention::Attention(const AttentionWeights& weights, LayerKind kind, const ModelConfig& config,
                     const RopeTables& rope)
    : weights_(weights), kind_(kind), config_(config), frequencies_(rope.Of(kind)) {
  if (kind != LayerKind::kSwa) {
    compressor_.emplace(*weights.compressor, CompressedRowKind::kMain, CompressRatio(kind),
                        config.rms_norm_eps, frequencies_);
  }
  if (kind == LayerKind::kCsa) indexer_.emplace(*weights.indexer, config, frequencies_);
}

void Attention::FinishQueryHeads(const OpContext& context, const RopeAngles& angles, int64_t at,
                                 float* q) const {
  for (int64_t h = 0; h < config_.num_attention_heads; ++h, q += config_.head_dim) {
    HeadNorm(context, q, config_.head_dim, config_.rms_norm_eps);
    angles.Rotate(context, q, config_.head_dim, at);
  }
}

void Attention::FinishWindowRow(const OpContext& context, const RopeAngles& angles, int64_t at,
                                float* kv) const {
  angles.Rotate(context, kv, config_.head_dim, at);
  if (context.reference()) {
    SimulateFp8(context.kernels, kv, config_.head_dim - config_.qk_rope_head_dim);
  }
}

void Attention::UnrotateHeads(const OpContext& context, const RopeAngles& angles, int64_t at,
                              float* o) const {
  for (int64_t h = 0; h < config_.num_attention_heads; ++h, o += config_.head_dim) {
    angles.RotateBack(context, o, config_.head_dim, at);
  }
}

void Attention::Queries(const OpContext& context, const Batch& batch, const float* qr,
                        float* q) const {
  const OperationTimer timer(context, &OperationCounts::linear_ns);
  const ScratchArray<float> scratch(context, batch.rows() * weights_.wq_b.in);
  QuantizedLinear(context, qr, batch.rows(), weights_.wq_b, scratch.data(), q);
  const OperationTimer row_timer(context, &OperationCounts::norm_ns);
  const RopeAngles& angles = batch.AnglesOf(frequencies_);
  ForRows(context, batch.rows(), weights_.wq_b.out, [&](int64_t row) {
    FinishQueryHeads(context, angles, row, q + row * weights_.wq_b.out);
  });
}

void Attention::GroupProjection(const OpContext& context, const float* o, int64_t rows,
                                float* z) const {
  const int64_t groups = config_.o_groups;
  const int64_t out = config_.o_lora_rank;
  const int64_t in = weights_.wo_a.in;
  std::vector<MatMulJob> jobs;
  for (int64_t g = 0; g < groups; ++g) {
    jobs.push_back({o + g * in, groups * in, rows, &weights_.wo_a, g * out, (g + 1) * out,
                    z + g * out, groups * out});
  }
  MatMul(context, LinearKind::kBF16, jobs);
}

void Attention::Output(const OpContext& context, const Batch& batch, float* o, float* out) const {
  const OperationTimer timer(context, &OperationCounts::linear_ns);
  const int64_t rows = batch.rows();
  const int64_t width = config_.num_attention_heads * config_.head_dim;
  const RopeAngles& angles = batch.AnglesOf(frequencies_);
  {
    const OperationTimer row_timer(context, &OperationCounts::norm_ns);
    ForRows(context, rows, config_.num_attention_heads * config_.qk_rope_head_dim,
            [&](int64_t row) { UnrotateHeads(context, angles, row, o + row * width); });
  }
  const ScratchArray<float> z(context, rows * weights_.wo_b.in);
  GroupProjection(context, o, rows, z.data());
  QuantizedLinear(context, z.data(), rows, weights_.wo_b, z.data(), out);
}

void Attention::Compress(const OpContext& context, const Batch& batch, LayerStates states,
                         const float* x) const {
  const OperationTimer timer(context, &OperationCounts::compressor_ns);
  const auto run = [&](const Compressor& compressor, int64_t width, auto open_of, auto rows_of) {
    const ScratchArray<float> kv(context, batch.rows() * width);
    const ScratchArray<float> gate(context, batch.rows() * width);
    compressor.Project(context, batch, x, kv.data(), gate.data());
    for (size_t i = 0; i < batch.segments.size(); ++i) {
      const Segment& segment = batch.segments[i];
      compressor.Advance(context, segment, kv.data() + segment.row * width,
                         gate.data() + segment.row * width, open_of(*states[i]),
                         rows_of(*states[i]));
    }
  };
  run(
      *compressor_, weights_.compressor->wkv.out,
      [](LayerState& s) -> OpenGroup& { return s.open; },
      [](LayerState& s) -> RowStore& { return *s.rows; });
  if (!indexer_) return;
  run(
      indexer_->compressor(), weights_.indexer->compressor.wkv.out,
      [](LayerState& s) -> OpenGroup& { return s.index_open; },
      [](LayerState& s) -> RowStore& { return *s.keys; });
}

Attention::Selection Attention::SelectRows(const OpContext& context, const Batch& batch,
                                           LayerStates states, const float* x,
                                           const float* qr) const {
  const OperationTimer projections(context, &OperationCounts::compressor_ns);
  Selection selected(static_cast<size_t>(batch.rows()));
  if (!indexer_) return selected;
  const int64_t heads = config_.index_n_heads;
  const int64_t width = heads * config_.index_head_dim;
  const ScratchArray<float> iq(context, batch.rows() * width);
  const ScratchArray<float> w(context, batch.rows() * heads);
  indexer_->Queries(context, batch, qr, iq.data());
  indexer_->HeadWeights(context, x, batch.rows(), w.data());
  const OperationTimer timer(context, &OperationCounts::index_scan_ns);
  for (size_t i = 0; i < batch.segments.size(); ++i) {
    const Segment& segment = batch.segments[i];
    indexer_->Select(context, segment, iq.data() + segment.row * width,
                     w.data() + segment.row * heads, *states[i]->keys,
                     selected.data() + segment.row);
  }
  return selected;
}

void Attention::Attend(const OpContext& context, const Batch& batch, LayerStates states,
                       const float* q, const float* window_rows, const Selection& selected,
                       float* o) const {
  const int64_t c = config_.head_dim;
  const int64_t width = config_.num_attention_heads * c;
  const std::vector<float> sink = ExpandVector(weights_.attn_sink);
  const OperationTimer timer(
      context, kind_ == LayerKind::kHca ? &OperationCounts::hca_ns : &OperationCounts::csa_ns);
  for (size_t i = 0; i < batch.segments.size(); ++i) {
    const Segment& segment = batch.segments[i];
    dsv::Attend(context,
                {.config = config_,
                 .kind = kind_,
                 .state = *states[i],
                 .position = segment.position,
                 .queries = segment.rows,
                 .q = q + segment.row * width,
                 .window_rows = window_rows + segment.row * c,
                 .sink = sink.data(),
                 .selected = kind_ == LayerKind::kCsa ? selected.data() + segment.row : nullptr,
                 .out = o + segment.row * width});
  }
}

void Attention::Project(const OpContext& context, const float* x, int64_t rows, float* qr,
                        float* window_rows) const {
  const OperationTimer timer(context, &OperationCounts::linear_ns);
  const MatrixView& wq_a = weights_.wq_a;
  const MatrixView& wkv = weights_.wkv;
  const bool quantizes = NeedsQuantizedInput(context, wq_a) || NeedsQuantizedInput(context, wkv);
  const ScratchArray<float> quantized(context, quantizes ? rows * wq_a.in : 0);
  if (quantizes) QuantizeRows(context, x, rows, wq_a.in, quantized.data());
  const auto input_of = [&](const MatrixView& w) {
    return NeedsQuantizedInput(context, w) ? quantized.data() : x;
  };
  const MatMulJob jobs[] = {{input_of(wq_a), wq_a.in, rows, &wq_a, 0, wq_a.out, qr, wq_a.out},
                            {input_of(wkv), wkv.in, rows, &wkv, 0, wkv.out, window_rows, wkv.out}};
  MatMul(context, LinearKind::kQuantized, jobs);
  RmsNorm(context, qr, rows, weights_.q_norm, config_.rms_norm_eps, qr);
  RmsNorm(context, window_rows, rows, weights_.kv_norm, config_.rms_norm_eps, window_rows);
}

void Attention::ObserveSelection(const Observer& observe, const Selection& selected) const {
  if (!observe || !indexer_) return;
  const auto width = static_cast<size_t>(config_.index_topk);
  std::vector<float> indices(selected.size() * width, -1.0F);
  for (size_t t = 0; t < selected.size(); ++t) {
    std::copy(selected[t].begin(), selected[t].end(),
              indices.begin() + static_cast<ptrdiff_t>(t * width));
  }
  observe("selected", indices.data(), static_cast<int64_t>(selected.size()), config_.index_topk);
}

void Attention::KeepWindow(const Batch& batch, LayerStates states, const float* window_rows) const {
  const int64_t c = config_.head_dim;
  for (size_t i = 0; i < batch.segments.size(); ++i) {
    const Segment& segment = batch.segments[i];
    const int64_t first = std::max<int64_t>(0, segment.rows - config_.sliding_window);
    for (int64_t t = first; t < segment.rows; ++t) {
      states[i]->window.Write(segment.position + t, window_rows + (segment.row + t) * c);
    }
  }
}

void Attention::Forward(const OpContext& context, const Batch& batch, LayerStates states,
                        const float* x, const Observer& observe, float* out) const {
  const int64_t rows = batch.rows();
  const int64_t c = config_.head_dim;
  const int64_t width = config_.num_attention_heads * c;
  const ScratchArray<float> qr(context, rows * config_.q_lora_rank);
  const ScratchArray<float> window_rows(context, rows * c);
  Project(context, x, rows, qr.data(), window_rows.data());
  const ScratchArray<float> q(context, rows * width);
  Queries(context, batch, qr.data(), q.data());
  const RopeAngles& angles = batch.AnglesOf(frequencies_);
  ForRows(context, rows, c,
          [&](int64_t t) { FinishWindowRow(context, angles, t, window_rows.data() + t * c); });
  Observe(observe, "q", q.data(), rows, width);
  Observe(observe, "window_row", window_rows.data(), rows, c);

  // Groups close before attention: the token that completes one already sees its row.
  if (compressor_) Compress(context, batch, states, x);
  const Selection selected = SelectRows(context, batch, states, x, qr.data());
  ObserveSelection(observe, selected);

  const ScratchArray<float> o(context, rows * width);
  Attend(context, batch, states, q.data(), window_rows.data(), selected, o.data());
  Observe(observe, "attention", o.data(), rows, width);
  KeepWindow(batch, states, window_rows.data());
  Output(context, batch, o.data(), out);
  Observe(observe, "attn_out", out, rows, config_.hidden_size);
}

}  // namespace dsv
