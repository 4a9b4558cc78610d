#include "attention/sparse_attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/quant.h"
#include "tensor/number_formats.h"

namespace dsv {
namespace {

constexpr int64_t kBlock = 64;  // rows whose logits are computed together

}  // namespace

SparseAttention::SparseAttention(const float* q, int64_t heads, int64_t head_dim, int64_t rows,
                                 float* out)
    : q_(q),
      heads_(heads),
      head_dim_(head_dim),
      out_(out),
      kept_(std::min(rows, kKeptLogits)),
      logits_(static_cast<size_t>(heads * (kept_ + kBlock))),
      max_(static_cast<size_t>(heads), -std::numeric_limits<float>::infinity()),
      sum_(static_cast<size_t>(heads), 0.0F) {
  std::fill(out, out + heads * head_dim, 0.0F);
}

SparseAttention::Block SparseAttention::NextBlock(const OpContext& context, const float* rows,
                                                  int64_t count, int64_t index, bool is_new) {
  const bool keeps = index < kept_;
  Block block;
  block.count = std::min({count, kBlock, keeps ? kept_ - index : kBlock});
  block.logits = logits_.data() + (keeps ? index : heads_ * kept_);
  block.stride = keeps ? kept_ : kBlock;
  if (keeps && !is_new) return block;
  context.kernels.dot(rows, head_dim_, block.count, q_, head_dim_, heads_, head_dim_, block.logits,
                      block.stride);
  context.Count(&OperationCounts::attention, block.count * heads_ * head_dim_);
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim_)));
  for (int64_t h = 0; h < heads_; ++h) {
    float* logits = block.logits + h * block.stride;
    for (int64_t j = 0; j < block.count; ++j) logits[j] *= scale;
  }
  return block;
}

void SparseAttention::Scan(const OpContext& context, const float* rows, int64_t count) {
  while (count > 0) {
    const Block block = NextBlock(context, rows, count, scanned_, /*is_new=*/true);
    for (int64_t h = 0; h < heads_; ++h) {
      const float* logits = block.logits + h * block.stride;
      float& max = max_[static_cast<size_t>(h)];
      max = std::max(max, *std::max_element(logits, logits + block.count));
    }
    scanned_ += block.count;
    rows += block.count * head_dim_;
    count -= block.count;
  }
}

void SparseAttention::Add(const OpContext& context, const float* rows, int64_t count) {
  while (count > 0) {
    const Block block = NextBlock(context, rows, count, added_, /*is_new=*/false);
    for (int64_t h = 0; h < heads_; ++h) {
      float* p = block.logits + h * block.stride;
      float& sum = sum_[static_cast<size_t>(h)];
      for (int64_t j = 0; j < block.count; ++j) {
        p[j] = std::exp(p[j] - max_[static_cast<size_t>(h)]);
        sum += p[j];
      }
      if (context.reference()) RoundBf16Row(p, block.count);
    }
    context.kernels.add_weighted_rows(block.logits, block.stride, heads_, rows, block.count,
                                      head_dim_, out_);
    context.Count(&OperationCounts::attention, block.count * heads_ * head_dim_);
    added_ += block.count;
    rows += block.count * head_dim_;
    count -= block.count;
  }
}

void SparseAttention::Finish(const OpContext& context, const float* sink) {
  for (int64_t h = 0; h < heads_; ++h) {
    float* out = out_ + h * head_dim_;
    const float sum =
        sum_[static_cast<size_t>(h)] + std::exp(sink[h] - max_[static_cast<size_t>(h)]);
    for (int64_t i = 0; i < head_dim_; ++i) out[i] /= sum;
    if (context.reference()) RoundBf16Row(out, head_dim_);
  }
}

}  // namespace dsv
