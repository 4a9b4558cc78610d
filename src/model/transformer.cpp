#include "model/transformer.h"

#include <algorithm>
#include <utility>

#include "attention/attend.h"
#include "base/check.h"
#include "kernels/expand.h"
#include "kernels/for_rows.h"
#include "kernels/matmul.h"
#include "kernels/scratch.h"
#include "model/hyper_connection.h"

namespace dsv {
namespace {

Batch MakeBatch(std::span<const Work> works) {
  Batch batch;
  for (const Work& work : works) {
    const auto rows = static_cast<int64_t>(work.tokens.size());
    batch.segments.push_back({batch.rows(), rows, work.state->tokens()});
    for (int64_t i = 0; i < rows; ++i) {
      batch.tokens.push_back(work.tokens[static_cast<size_t>(i)]);
      batch.positions.push_back(work.state->tokens() + i);
    }
  }
  return batch;
}

Observer ObserverOf(const LayerObserver& observe, int64_t layer) {
  return observe ? observe(layer) : Observer();
}

// Appends the wanted rows of a segment: `rows` is [segment.rows, width].
void Gather(const float* rows, const Segment& segment, Logits wanted, int64_t width,
            std::vector<float>& out) {
  if (wanted == Logits::kNone || segment.rows == 0) return;
  const int64_t first = wanted == Logits::kAll ? 0 : segment.rows - 1;
  const float* begin = rows + (segment.row + first) * width;
  out.insert(out.end(), begin, begin + (segment.rows - first) * width);
}

int64_t WantedRows(Logits wanted, int64_t rows) {
  if (wanted == Logits::kNone) return 0;
  return wanted == Logits::kAll ? rows : std::min<int64_t>(rows, 1);
}

// Floats that live at the same time in the larger of the two sub-layers: what is taken from the
// Scratch of a pass.
int64_t PassFloats(const ModelConfig& config, int64_t rows, int64_t threads) {
  const int64_t d = config.hidden_size;
  const int64_t c = config.head_dim;
  const int64_t heads = config.num_attention_heads * c;
  const int64_t k = config.num_experts_per_tok;
  const int64_t index = config.index_n_heads * config.index_head_dim;
  // Streams and the squares of them; x and y.
  const int64_t common = config.hc_mult * d + 1 + 2 * d;
  // qr, window row and q; then quantised x, kappa and gamma, indexer queries or o and what follows.
  const int64_t attention =
      config.q_lora_rank + c + heads +
      std::max({d, 4 * c, index + config.index_n_heads + config.q_lora_rank,
                heads + config.o_groups * config.o_lora_rank});
  // Scores, quantised x, shared output, inputs and outputs of the chosen experts, gate and up of
  // those and the shared one, whose place the addresses of the outputs take later.
  const int64_t moe = config.n_routed_experts + 2 * d + 2 * k * d +
                      std::max(2 * (k + 1) * config.moe_intermediate_size, 2 * (k + 1));
  return rows * common +
         std::max(rows * attention + AttendFloats(config, rows, threads), rows * moe);
}

// Every array begins at a multiple of 64 bytes.
int64_t PassBytes(const ModelConfig& config, int64_t rows, int64_t threads) {
  constexpr int64_t kAlignments = 64 * 64;
  return static_cast<int64_t>(sizeof(float)) * PassFloats(config, rows, threads) + kAlignments;
}

// Floats of what the heap serves besides.
int64_t HeapFloats(const ModelConfig& config, int64_t rows, int64_t threads) {
  const int64_t d = config.hidden_size;
  const int64_t heads = config.num_attention_heads * config.head_dim;
  const int64_t k = config.num_experts_per_tok;
  // Coefficients of mHC twice, 64-bit selections, RoPE angles; routes, pairs and calls of experts.
  // And bf16 inputs of products: of the chosen experts, or of the output projection.
  const int64_t packed =
      std::max({4 * d, heads, (k + 1) * std::max(d, config.moe_intermediate_size)}) / 2;
  const int64_t row = 4 * (2 + config.hc_mult) * config.hc_mult + 2 * (config.index_topk + 8) +
                      4 * config.qk_rope_head_dim + 24 * k + packed;
  // Per thread: a panel of weights and its sums (PanelKernels::scratch_bytes), the candidates of a
  // block of index queries.
  constexpr int64_t kPanel = 1 << 19;
  const int64_t widest = std::max({4 * d, heads, config.moe_intermediate_size, config.q_lora_rank,
                                   config.o_groups * config.o_lora_rank});
  const int64_t thread =
      std::max(16 * widest, kPanel) +
      64 * (2 * (2 * config.index_topk + 64) + config.index_n_heads * config.index_head_dim);
  return rows * row + threads * thread;
}

}  // namespace

Transformer::Parts::Parts(ModelConfig c, ModelWeights w)
    : config(std::move(c)), weights(std::move(w)), rope(config) {
  blocks.reserve(weights.layers.size());
  for (const LayerWeights& layer : weights.layers) blocks.emplace_back(layer, config, rope);
  if (weights.mtp) mtp.emplace(*weights.mtp, config, rope);
}

Transformer::Transformer(ModelConfig config, ModelWeights weights)
    : parts_(std::make_unique<const Parts>(std::move(config), std::move(weights))) {}

SessionState Transformer::NewState(Precision precision, bool mtp,
                                   std::shared_ptr<BlockCount> held) const {
  DSV_CHECK(!mtp || has_mtp());
  return EmptyState(config(), precision, mtp, std::move(held));
}

int64_t Transformer::ScratchBytes(int64_t rows, int64_t threads) const {
  return PassBytes(config(), rows, threads) +
         static_cast<int64_t>(sizeof(float)) * HeapFloats(config(), rows, threads);
}

std::vector<float> Transformer::Embed(const OpContext& context,
                                      const std::vector<int32_t>& tokens) const {
  const int64_t d = config().hidden_size;
  std::vector<float> rows(tokens.size() * static_cast<size_t>(d));
  for (size_t t = 0; t < tokens.size(); ++t) {
    ExpandRow(context.kernels, weights().embed, tokens[t],
              rows.data() + static_cast<int64_t>(t) * d);
  }
  return rows;
}

std::vector<float> Transformer::Head(const OpContext& context,
                                     const std::vector<float>& hidden) const {
  const int64_t rows = static_cast<int64_t>(hidden.size()) / config().hidden_size;
  std::vector<float> logits(static_cast<size_t>(rows * config().vocab_size));
  MatMul(context, LinearKind::kF32, hidden.data(), rows, weights().head, logits.data());
  return logits;
}

void Transformer::StartStreams(const OpContext& context, const std::vector<int32_t>& tokens,
                               float* streams, float* squares) const {
  const int64_t n = config().hc_mult;
  const int64_t d = config().hidden_size;
  ForRows(context, std::ssize(tokens), n * d, [&](int64_t t) {
    float* row = streams + t * n * d;
    ExpandRow(context.kernels, weights().embed, tokens[static_cast<size_t>(t)], row);
    for (int64_t j = 1; j < n; ++j) std::copy(row, row + d, row + j * d);
    squares[t] = context.kernels.streams.sum_of_squares(row, d);
  });
}

std::vector<WorkLogits> Transformer::Forward(const OpContext& caller, std::span<const Work> works,
                                             const LayerObserver& observe) const {
  const int64_t n = config().hc_mult;
  const int64_t d = config().hidden_size;
  const Batch batch = MakeBatch(works);
  const int64_t rows = batch.rows();
  Scratch scratch(PassBytes(config(), rows, caller.pool.size()));
  OpContext context = caller;
  context.scratch = &scratch;

  const ScratchArray<float> streams(context, rows * n * d);
  const ScratchArray<float> squares(context, rows);
  StartStreams(context, batch.tokens, streams.data(), squares.data());
  std::vector<LayerState*> states(works.size());
  for (size_t layer = 0; layer < parts_->blocks.size(); ++layer) {
    for (size_t i = 0; i < works.size(); ++i) states[i] = &works[i].state->layers[layer];
    parts_->blocks[layer].Forward(context, batch, states,
                                  ObserverOf(observe, static_cast<int64_t>(layer)), streams.data(),
                                  squares.data());
  }

  std::vector<WorkLogits> results(works.size());
  std::vector<float> wanted;
  for (size_t i = 0; i < works.size(); ++i) {
    Gather(streams.data(), batch.segments[i], works[i].logits, n * d, wanted);
  }
  const OperationTimer head_timer(context, &OperationCounts::head_ns);
  const int64_t wanted_rows = static_cast<int64_t>(wanted.size()) / (n * d);
  std::vector<float> hidden(static_cast<size_t>(wanted_rows * d));
  HcHead(context, weights().hc_head, config(), wanted.data(), wanted_rows, hidden.data(),
         {.norm = &weights().norm});
  const std::vector<float> logits = Head(context, hidden);
  const float* next = logits.data();
  for (size_t i = 0; i < works.size(); ++i) {
    const int64_t count = WantedRows(works[i].logits, batch.segments[i].rows) * config().vocab_size;
    results[i].logits.assign(next, next + count);
    next += count;
  }

  ForwardMtp(context, works, batch, streams.data(), observe, results);
  for (const Work& work : works) work.state->blocks->Advance(work.tokens);
  return results;
}

void Transformer::ForwardMtp(const OpContext& context, std::span<const Work> works,
                             const Batch& batch, const float* streams,
                             const LayerObserver& observe, std::vector<WorkLogits>& results) const {
  const int64_t n = config().hc_mult;
  const int64_t d = config().hidden_size;
  Batch shifted;  // row i has the streams and position of token i and the id of token i + 1
  std::vector<float> z;
  std::vector<LayerState*> states;
  std::vector<size_t> work_of_segment;
  for (size_t i = 0; i < works.size(); ++i) {
    SessionState& state = *works[i].state;
    if (!state.mtp) continue;
    const Segment& segment = batch.segments[i];
    const float* first = streams + segment.row * n * d;
    const float* last = first + (segment.rows - 1) * n * d;
    z.insert(z.end(), state.mtp->streams.begin(), state.mtp->streams.end());
    z.insert(z.end(), first, last);
    state.mtp->streams.assign(last, last + n * d);
    const int64_t missing = segment.position == 0 ? 1 : 0;
    if (segment.rows == missing) continue;
    work_of_segment.push_back(i);
    states.push_back(&state.mtp->layer);
    const int64_t position = segment.position - 1 + missing;
    shifted.segments.push_back({shifted.rows(), segment.rows - missing, position});
    for (int64_t t = missing; t < segment.rows; ++t) {
      shifted.tokens.push_back(batch.tokens[static_cast<size_t>(segment.row + t)]);
      shifted.positions.push_back(segment.position + t - 1);
    }
  }
  if (shifted.rows() == 0) return;
  std::vector<float> embedding = Embed(context, shifted.tokens);
  std::vector<float> squares(shifted.tokens.size());
  parts_->mtp->Combine(context, embedding.data(), shifted.rows(), z.data(), squares.data());
  parts_->mtp->block().Forward(context, shifted, states,
                               ObserverOf(observe, config().num_hidden_layers), z.data(),
                               squares.data());
  for (size_t s = 0; s < work_of_segment.size(); ++s) {
    const Work& work = works[work_of_segment[s]];
    std::vector<float> wanted;
    Gather(z.data(), shifted.segments[s], work.mtp_logits, n * d, wanted);
    const int64_t rows = static_cast<int64_t>(wanted.size()) / (n * d);
    std::vector<float> hidden(static_cast<size_t>(rows * d));
    parts_->mtp->Collapse(context, wanted.data(), rows, hidden.data());
    results[work_of_segment[s]].mtp_logits = Head(context, hidden);
  }
}

}  // namespace dsv
