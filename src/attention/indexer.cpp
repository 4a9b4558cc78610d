#include "attention/indexer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "attention/index_scan.h"
#include "attention/index_scorer.h"
#include "kernels/for_rows.h"
#include "kernels/hadamard.h"
#include "kernels/matmul.h"
#include "kernels/quant.h"
#include "kernels/scratch.h"

namespace dsv {
namespace {

constexpr int64_t kCsaRatio = 4;
// Queries that share the expansion of a key, at most.
constexpr int64_t kQueryBlock = 64;
// Blocks of keys that are worth a task of their own.
constexpr int64_t kTilesPerTask = 16;

int64_t VisibleRows(int64_t position) { return (position + 1) / kCsaRatio; }

}  // namespace

Indexer::Indexer(const IndexerWeights& weights, const ModelConfig& config,
                 const std::vector<float>& frequencies)
    : weights_(weights),
      heads_(config.index_n_heads),
      head_dim_(config.index_head_dim),
      top_k_(config.index_topk),
      frequencies_(frequencies),
      compressor_(weights.compressor, CompressedRowKind::kIndex, kCsaRatio, config.rms_norm_eps,
                  frequencies) {}

void Indexer::Queries(const OpContext& context, const Batch& batch, const float* qr,
                      float* iq) const {
  const ScratchArray<float> scratch(context, batch.rows() * weights_.wq_b.in);
  QuantizedLinear(context, qr, batch.rows(), weights_.wq_b, scratch.data(), iq);
  const RopeAngles& angles = batch.AnglesOf(frequencies_);
  ForRows(context, batch.rows(), heads_ * head_dim_, [&](int64_t row) {
    for (int64_t h = 0; h < heads_; ++h) {
      float* head = iq + (row * heads_ + h) * head_dim_;
      angles.Rotate(context, head, head_dim_, row);
      Hadamard(context, head, head_dim_);
      if (context.reference()) SimulateFp4(context.kernels, head, head_dim_);
    }
  });
}

void Indexer::HeadWeights(const OpContext& context, const float* x, int64_t rows, float* w) const {
  MatMul(context, LinearKind::kBF16, x, rows, weights_.weights_proj, w);
  const auto scale = static_cast<float>(
      1.0 / std::sqrt(static_cast<double>(head_dim_) * static_cast<double>(heads_)));
  ForRows(context, rows, heads_, [&](int64_t row) {
    float* weights = w + row * heads_;
    for (int64_t h = 0; h < heads_; ++h) weights[h] *= scale;
    if (context.reference()) context.kernels.rows.round_bf16(weights, heads_);
  });
}

void Indexer::Scan(const OpContext& context, const Segment& segment, const Part& part,
                   const float* iq, const float* w, const RowStore& keys,
                   std::vector<TopK>& top) const {
  IndexScorer scorer(heads_, head_dim_);
  scorer.SetQueries(context, iq + part.first * heads_ * head_dim_, w + part.first * heads_,
                    part.count);
  std::vector<int64_t> visible;
  for (int64_t i = 0; i < part.count; ++i) {
    visible.push_back(VisibleRows(segment.position + part.first + i));
  }
  top.assign(static_cast<size_t>(part.count), TopK(top_k_));
  IndexScan(context, keys, scorer, visible, top).Run(part.begin_key, part.end_key);
}

void Indexer::Select(const OpContext& context, const Segment& segment, const float* iq,
                     const float* w, const RowStore& keys, std::vector<int64_t>* selected) const {
  const int64_t threads = context.pool.size();
  const int64_t size = std::clamp<int64_t>(segment.rows / threads, 1, kQueryBlock);
  const int64_t blocks = (segment.rows + size - 1) / size;
  // With few queries the keys are shared out among the threads too.
  const int64_t tiles = VisibleRows(segment.position + segment.rows - 1) / keys.rows_per_block();
  const int64_t splits = std::clamp<int64_t>(tiles / kTilesPerTask, 1, (threads - 1) / blocks + 1);
  std::vector<std::vector<TopK>> top(static_cast<size_t>(blocks * splits));
  context.pool.ParallelFor(blocks * splits, [&](int64_t task, int64_t) {
    const int64_t first = task / splits * size;
    const int64_t count = std::min(size, segment.rows - first);
    const int64_t visible = VisibleRows(segment.position + first + count - 1);
    if (visible <= top_k_) return;
    const int64_t tile = keys.rows_per_block();
    const int64_t range = (visible + splits * tile - 1) / (splits * tile) * tile;
    const int64_t begin = std::min(task % splits * range, visible);
    const Part part{first, count, begin, std::min(begin + range, visible)};
    Scan(context, segment, part, iq, w, keys, top[static_cast<size_t>(task)]);
  });
  context.pool.ParallelFor(segment.rows, [&](int64_t i, int64_t) {
    const auto parts =
        std::span(top).subspan(static_cast<size_t>(i / size * splits), static_cast<size_t>(splits));
    const auto query = static_cast<size_t>(i % size);
    if (parts.front().empty()) {  // all rows fit
      selected[i].resize(static_cast<size_t>(VisibleRows(segment.position + i)));
      std::iota(selected[i].begin(), selected[i].end(), 0);
      return;
    }
    for (size_t p = 1; p < parts.size(); ++p) parts.front()[query].Merge(parts[p][query]);
    parts.front()[query].Finish(selected[i]);
  });
}

}  // namespace dsv
