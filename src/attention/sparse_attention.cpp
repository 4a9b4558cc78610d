#include "attention/sparse_attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/quant.h"
#include "tensor/number_formats.h"

namespace dsv {
namespace {

constexpr int64_t kBlock = 64;            // rows whose logits are computed together
constexpr int64_t kKeptLogits = 1 << 20;  // of all heads

}  // namespace

SparseAttention::SparseAttention(const float* q, int64_t heads, int64_t head_dim, int64_t slots,
                                 float* out)
    : q_(q),
      heads_(heads),
      head_dim_(head_dim),
      out_(out),
      kept_(std::min(slots, kKeptLogits / heads)),
      logits_(static_cast<size_t>(heads * (kept_ + kBlock))),
      max_(static_cast<size_t>(heads), -std::numeric_limits<float>::infinity()),
      sum_(static_cast<size_t>(heads), 0.0F) {
  std::fill(out, out + heads * head_dim, 0.0F);
}

SparseAttention::Block SparseAttention::NextBlock(const OpContext& context, const float* rows,
                                                  int64_t count, int64_t slot, Heads range,
                                                  bool is_new) {
  const bool keeps = slot < kept_;
  Block block{};
  block.count = std::min({count, kBlock, keeps ? kept_ - slot : kBlock});
  block.stride = keeps ? kept_ : kBlock;
  block.logits =
      logits_.data() + (keeps ? range.first * kept_ + slot : heads_ * kept_ + range.first * kBlock);
  if (keeps && !is_new) return block;
  context.kernels.linear.dot(rows, head_dim_, block.count, q_ + range.first * head_dim_, head_dim_,
                      range.count, head_dim_, block.logits, block.stride);
  context.Count(&OperationCounts::attention, block.count * range.count * head_dim_);
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim_)));
  for (int64_t h = 0; h < range.count; ++h) {
    float* logits = block.logits + h * block.stride;
    for (int64_t j = 0; j < block.count; ++j) logits[j] *= scale;
  }
  return block;
}

void SparseAttention::Scan(const OpContext& context, const float* rows, int64_t count, int64_t slot,
                           Heads range) {
  for (int64_t done = 0; done < count;) {
    const Block block = NextBlock(context, rows + done * head_dim_, count - done, slot + done,
                                  range, /*is_new=*/true);
    for (int64_t h = 0; h < range.count; ++h) {
      const float* logits = block.logits + h * block.stride;
      float& max = max_[static_cast<size_t>(range.first + h)];
      max = std::max(max, *std::max_element(logits, logits + block.count));
    }
    done += block.count;
  }
}

void SparseAttention::Add(const OpContext& context, const float* rows, int64_t count, int64_t slot,
                          Heads range) {
  for (int64_t done = 0; done < count;) {
    const float* some = rows + done * head_dim_;
    const Block block =
        NextBlock(context, some, count - done, slot + done, range, /*is_new=*/false);
    for (int64_t h = 0; h < range.count; ++h) {
      float* p = block.logits + h * block.stride;
      const float max = max_[static_cast<size_t>(range.first + h)];
      float& sum = sum_[static_cast<size_t>(range.first + h)];
      for (int64_t j = 0; j < block.count; ++j) {
        p[j] = std::exp(p[j] - max);
        sum += p[j];
      }
      if (context.reference()) RoundBf16Row(p, block.count);
    }
    context.kernels.attention.add_weighted_rows(block.logits, block.stride, range.count, some, block.count,
                                      head_dim_, out_ + range.first * head_dim_);
    context.Count(&OperationCounts::attention, block.count * range.count * head_dim_);
    done += block.count;
  }
}

void SparseAttention::Finish(const OpContext& context, const float* sink, int64_t n) {
  for (int64_t h = 0; h < heads_; ++h) {
    float* out = out_ + h * head_dim_;
    const float sum =
        sum_[static_cast<size_t>(h)] + std::exp(sink[h % n] - max_[static_cast<size_t>(h)]);
    for (int64_t i = 0; i < head_dim_; ++i) out[i] /= sum;
    if (context.reference()) RoundBf16Row(out, head_dim_);
  }
}

}  // namespace dsv
