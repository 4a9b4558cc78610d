#include "attention/attention.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/expand.h"
#include "kernels/matmul.h"
#include "kernels/norm.h"
#include "kernels/quant.h"

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

LayerState Attention::NewState(Precision precision) const {
  LayerState state{WindowRing(config_.sliding_window, config_.head_dim, precision), {}, {}, {}, {}};
  if (compressor_) state.rows.emplace(config_.head_dim, precision);
  if (indexer_) state.keys.emplace(config_.index_head_dim, precision);
  return state;
}

void Attention::FinishQueryHeads(const OpContext& context, int64_t position, float* q) const {
  RopeAngles angles(static_cast<int64_t>(frequencies_.size()));
  angles.Set(frequencies_, position);
  for (int64_t h = 0; h < config_.num_attention_heads; ++h, q += config_.head_dim) {
    HeadNorm(context, q, config_.head_dim, config_.rms_norm_eps);
    angles.Rotate(context, q, config_.head_dim);
  }
}

void Attention::FinishWindowRow(const OpContext& context, int64_t position, float* kv) const {
  RopeAngles angles(static_cast<int64_t>(frequencies_.size()));
  angles.Set(frequencies_, position);
  angles.Rotate(context, kv, config_.head_dim);
  if (context.reference()) SimulateFp8(kv, config_.head_dim - config_.qk_rope_head_dim);
}

void Attention::UnrotateHeads(const OpContext& context, int64_t position, float* o) const {
  RopeAngles angles(static_cast<int64_t>(frequencies_.size()));
  angles.Set(frequencies_, position);
  for (int64_t h = 0; h < config_.num_attention_heads; ++h, o += config_.head_dim) {
    angles.RotateBack(context, o, config_.head_dim);
  }
}

void Attention::Queries(const OpContext& context, const Batch& batch, const float* qr,
                        float* q) const {
  std::vector<float> scratch(static_cast<size_t>(batch.rows() * weights_.wq_b.in));
  QuantizedLinear(context, qr, batch.rows(), weights_.wq_b, scratch.data(), q);
  context.pool.ParallelFor(batch.rows(), [&](int64_t row, int64_t) {
    FinishQueryHeads(context, batch.positions[static_cast<size_t>(row)],
                     q + row * weights_.wq_b.out);
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
  const int64_t rows = batch.rows();
  const int64_t width = config_.num_attention_heads * config_.head_dim;
  context.pool.ParallelFor(rows, [&](int64_t row, int64_t) {
    UnrotateHeads(context, batch.positions[static_cast<size_t>(row)], o + row * width);
  });
  std::vector<float> z(static_cast<size_t>(rows * weights_.wo_b.in));
  GroupProjection(context, o, rows, z.data());
  QuantizedLinear(context, z.data(), rows, weights_.wo_b, z.data(), out);
}

void Attention::Compress(const OpContext& context, const Batch& batch, LayerStates states,
                         const float* x) const {
  const auto run = [&](const Compressor& compressor, int64_t width, auto open_of, auto rows_of) {
    std::vector<float> kv(static_cast<size_t>(batch.rows() * width));
    std::vector<float> gate(kv.size());
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
  Selection selected(static_cast<size_t>(batch.rows()));
  if (!indexer_) return selected;
  const int64_t heads = config_.index_n_heads;
  const int64_t width = heads * config_.index_head_dim;
  std::vector<float> iq(static_cast<size_t>(batch.rows() * width));
  std::vector<float> w(static_cast<size_t>(batch.rows() * heads));
  indexer_->Queries(context, batch, qr, iq.data());
  indexer_->HeadWeights(context, x, batch.rows(), w.data());
  for (size_t i = 0; i < batch.segments.size(); ++i) {
    const Segment& segment = batch.segments[i];
    indexer_->Select(context, segment, iq.data() + segment.row * width,
                     w.data() + segment.row * heads, *states[i]->keys,
                     selected.data() + segment.row);
  }
  return selected;
}

// The rows that one query attends: window rows from the ring and from the batch, then compressed
// rows, all visible ones (HCA) or the selected ones (CSA).
struct Attention::SegmentRows final : RowSource {
  const LayerState& state;
  const float* batch_rows;  // window rows of the segment: [segment.rows, width]
  int64_t segment_position;
  int64_t width;
  int64_t first_position;  // window rows [first_position, first_position + window_rows)
  int64_t window_rows;
  int64_t compressed_rows = 0;
  const std::vector<int64_t>* selected = nullptr;  // CSA

  // The rows of token `t` of the segment.
  SegmentRows(const Attention& layer, const LayerState& layer_state, const Segment& segment,
              int64_t t, const float* rows, const std::vector<int64_t>& chosen)
      : state(layer_state),
        batch_rows(rows),
        segment_position(segment.position),
        width(layer.config_.head_dim),
        first_position(
            std::max<int64_t>(0, segment.position + t - layer.config_.sliding_window + 1)),
        window_rows(segment.position + t + 1 - first_position) {
    if (layer.kind_ == LayerKind::kHca) {
      compressed_rows = (segment.position + t + 1) / CompressRatio(layer.kind_);
    } else if (layer.kind_ == LayerKind::kCsa) {
      selected = &chosen;
      compressed_rows = static_cast<int64_t>(chosen.size());
    }
  }

  int64_t size() const override { return window_rows + compressed_rows; }

  void Read(int64_t begin, int64_t count, float* out) const override {
    for (int64_t i = begin; i < begin + count; ++i, out += width) {
      if (i >= window_rows) {
        const int64_t index = i - window_rows;
        state.rows->Read(selected != nullptr ? (*selected)[static_cast<size_t>(index)] : index, 1,
                         out);
      } else if (const int64_t position = first_position + i; position < segment_position) {
        state.window.Read(position, out);
      } else {
        const float* row = batch_rows + (position - segment_position) * width;
        std::copy(row, row + width, out);
      }
    }
  }
};

void Attention::Attend(const OpContext& context, const Batch& batch, LayerStates states,
                       const float* q, const float* window_rows, const Selection& selected,
                       float* o) const {
  const int64_t c = config_.head_dim;
  const int64_t width = config_.num_attention_heads * c;
  const std::vector<float> sink = ExpandVector(weights_.attn_sink);
  std::vector<AttentionScratch> scratch(static_cast<size_t>(context.pool.size()));
  for (size_t i = 0; i < batch.segments.size(); ++i) {
    const Segment& segment = batch.segments[i];
    // A single token leaves threads idle unless its heads are shared out; a head does not depend on
    // the others.
    const int64_t blocks = segment.rows >= context.pool.size()
                               ? 1
                               : std::min(config_.num_attention_heads, context.pool.size());
    context.pool.ParallelFor(segment.rows * blocks, [&](int64_t task, int64_t worker) {
      const int64_t t = task / blocks;
      const int64_t first = task % blocks * config_.num_attention_heads / blocks;
      const int64_t end = (task % blocks + 1) * config_.num_attention_heads / blocks;
      const int64_t offset = (segment.row + t) * width + first * c;
      const SegmentRows rows(*this, *states[i], segment, t, window_rows + segment.row * c,
                             selected[static_cast<size_t>(segment.row + t)]);
      SparseAttention(context, q + offset, end - first, c, rows, sink.data() + first,
                      scratch[static_cast<size_t>(worker)], o + offset);
    });
  }
}

void Attention::Project(const OpContext& context, const float* x, int64_t rows, float* qr,
                        float* window_rows) const {
  const MatrixView& wq_a = weights_.wq_a;
  const MatrixView& wkv = weights_.wkv;
  std::vector<float> quantized;
  if (NeedsQuantizedInput(context, wq_a) || NeedsQuantizedInput(context, wkv)) {
    quantized.resize(static_cast<size_t>(rows * wq_a.in));
    QuantizeRows(context, x, rows, wq_a.in, quantized.data());
  }
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
  std::vector<float> qr(static_cast<size_t>(rows * config_.q_lora_rank));
  std::vector<float> window_rows(static_cast<size_t>(rows * c));
  std::vector<float> q(static_cast<size_t>(rows * width));
  std::vector<float> o(q.size());

  Project(context, x, rows, qr.data(), window_rows.data());
  Queries(context, batch, qr.data(), q.data());
  context.pool.ParallelFor(rows, [&](int64_t t, int64_t) {
    FinishWindowRow(context, batch.positions[static_cast<size_t>(t)], window_rows.data() + t * c);
  });
  Observe(observe, "q", q.data(), rows, width);
  Observe(observe, "window_row", window_rows.data(), rows, c);

  // Groups close before attention: the token that completes one already sees its row.
  if (compressor_) Compress(context, batch, states, x);
  const Selection selected = SelectRows(context, batch, states, x, qr.data());
  ObserveSelection(observe, selected);

  Attend(context, batch, states, q.data(), window_rows.data(), selected, o.data());
  Observe(observe, "attention", o.data(), rows, width);
  KeepWindow(batch, states, window_rows.data());
  Output(context, batch, o.data(), out);
  Observe(observe, "attn_out", out, rows, config_.hidden_size);
}

}  // namespace dsv
