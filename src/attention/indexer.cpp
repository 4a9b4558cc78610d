#include "attention/indexer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/hadamard.h"
#include "kernels/matmul.h"
#include "kernels/quant.h"
#include "tensor/number_formats.h"

namespace dsv {
namespace {

constexpr int64_t kCsaRatio = 4;
// Keys that are expanded at once, and queries that share one expansion.
constexpr int64_t kKeyTile = 64;
constexpr int64_t kQueryBlock = 8;

int64_t VisibleRows(int64_t position) { return (position + 1) / kCsaRatio; }

}  // namespace

void CombineIndexScores(const OpContext& context, const float* dots, int64_t stride, const float* w,
                        int64_t heads, int64_t count, float* scores) {
  std::fill(scores, scores + count, 0.0F);
  for (int64_t h = 0; h < heads; ++h) {
    const float* a = dots + h * stride;
    if (context.reference()) {
      for (int64_t s = 0; s < count; ++s) {
        scores[s] += RoundBf16(std::max(RoundBf16(a[s]), 0.0F) * w[h]);
      }
    } else {
      for (int64_t s = 0; s < count; ++s) scores[s] += std::max(a[s], 0.0F) * w[h];
    }
  }
  if (context.reference()) RoundBf16Row(scores, count);
}

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
  std::vector<float> scratch(static_cast<size_t>(batch.rows() * weights_.wq_b.in));
  QuantizedLinear(context, qr, batch.rows(), weights_.wq_b, scratch.data(), iq);
  context.pool.ParallelFor(batch.rows(), [&](int64_t row, int64_t) {
    RopeAngles angles(static_cast<int64_t>(frequencies_.size()));
    angles.Set(frequencies_, batch.positions[static_cast<size_t>(row)]);
    for (int64_t h = 0; h < heads_; ++h) {
      float* head = iq + (row * heads_ + h) * head_dim_;
      angles.Rotate(context, head, head_dim_);
      Hadamard(context, head, head_dim_);
      if (context.reference()) SimulateFp4(head, head_dim_);
    }
  });
}

void Indexer::HeadWeights(const OpContext& context, const float* x, int64_t rows, float* w) const {
  MatMul(context, LinearKind::kBF16, x, rows, weights_.weights_proj, w);
  const auto scale = static_cast<float>(
      1.0 / std::sqrt(static_cast<double>(head_dim_) * static_cast<double>(heads_)));
  for (int64_t i = 0; i < rows * heads_; ++i) w[i] *= scale;
  if (context.reference()) RoundBf16Row(w, rows * heads_);
}

struct Indexer::Scratch {
  std::vector<float> keys;    // [kKeyTile, ci]
  std::vector<float> dots;    // [kQueryBlock * Hi, kKeyTile]
  std::vector<float> scores;  // [kKeyTile]
  std::vector<TopK> top;      // [kQueryBlock]
};

void Indexer::SelectBlock(const OpContext& context, const Segment& segment, int64_t first,
                          int64_t count, const float* iq, const float* w, const RowStore& keys,
                          Scratch& scratch, std::vector<int64_t>* selected) const {
  scratch.keys.resize(static_cast<size_t>(kKeyTile * head_dim_));
  scratch.dots.resize(static_cast<size_t>(kQueryBlock * heads_ * kKeyTile));
  scratch.scores.resize(static_cast<size_t>(kKeyTile));
  scratch.top.assign(static_cast<size_t>(count), TopK(top_k_));
  const int64_t visible = VisibleRows(segment.position + first + count - 1);
  for (int64_t begin = 0; begin < visible; begin += kKeyTile) {
    const int64_t tile = std::min(kKeyTile, visible - begin);
    keys.Read(begin, tile, scratch.keys.data());
    context.kernels.dot(scratch.keys.data(), head_dim_, tile, iq + first * heads_ * head_dim_,
                        head_dim_, count * heads_, head_dim_, scratch.dots.data(), kKeyTile);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t seen = std::min(tile, VisibleRows(segment.position + first + i) - begin);
      if (seen <= 0) continue;
      CombineIndexScores(context, scratch.dots.data() + i * heads_ * kKeyTile, kKeyTile,
                         w + (first + i) * heads_, heads_, seen, scratch.scores.data());
      scratch.top[static_cast<size_t>(i)].Offer(scratch.scores.data(), seen, begin);
    }
  }
  for (int64_t i = 0; i < count; ++i)
    scratch.top[static_cast<size_t>(i)].Finish(selected[first + i]);
}

void Indexer::Select(const OpContext& context, const Segment& segment, const float* iq,
                     const float* w, const RowStore& keys, std::vector<int64_t>* selected) const {
  std::vector<Scratch> scratch(static_cast<size_t>(context.pool.size()));
  const int64_t blocks = (segment.rows + kQueryBlock - 1) / kQueryBlock;
  context.pool.ParallelFor(blocks, [&](int64_t block, int64_t worker) {
    const int64_t first = block * kQueryBlock;
    const int64_t count = std::min(kQueryBlock, segment.rows - first);
    const int64_t visible = VisibleRows(segment.position + first + count - 1);
    if (visible > top_k_) {
      SelectBlock(context, segment, first, count, iq, w, keys, scratch[static_cast<size_t>(worker)],
                  selected);
      return;
    }
    for (int64_t i = first; i < first + count; ++i) {
      selected[i].resize(static_cast<size_t>(VisibleRows(segment.position + i)));
      std::iota(selected[i].begin(), selected[i].end(), 0);
    }
  });
}

}  // namespace dsv
