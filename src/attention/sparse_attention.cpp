#include "attention/sparse_attention.h"

#include <algorithm>
#include <cmath>

#include "kernels/quant.h"
#include "tensor/number_formats.h"

namespace dsv {
namespace {

constexpr int64_t kRowTile = 64;

// Turns the logits of one head into p = exp(l - max), rounded where the value product wants it,
// and returns the denominator, which sums the unrounded p.
float SoftmaxNumerators(const OpContext& context, float* logits, int64_t n, float sink) {
  const float max = *std::max_element(logits, logits + n);
  float sum = 0;
  for (int64_t j = 0; j < n; ++j) {
    const float p = std::exp(logits[j] - max);
    sum += p;
    logits[j] = context.reference() ? RoundBf16(p) : p;
  }
  return sum + std::exp(sink - max);
}

}  // namespace

void SparseAttention(const OpContext& context, const float* q, int64_t heads, int64_t head_dim,
                     const RowSource& rows, const float* sink, AttentionScratch& scratch,
                     float* out) {
  const int64_t n = rows.size();
  scratch.tile.resize(static_cast<size_t>(kRowTile * head_dim));
  scratch.logits.resize(static_cast<size_t>(heads * n));
  scratch.sums.resize(static_cast<size_t>(heads));
  float* tile = scratch.tile.data();
  float* logits = scratch.logits.data();
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim)));

  for (int64_t begin = 0; begin < n; begin += kRowTile) {
    const int64_t count = std::min(kRowTile, n - begin);
    rows.Read(begin, count, tile);
    context.kernels.dot(tile, head_dim, count, q, head_dim, heads, head_dim, logits + begin, n);
  }
  for (int64_t h = 0; h < heads; ++h) {
    for (int64_t j = 0; j < n; ++j) logits[h * n + j] *= scale;
    scratch.sums[static_cast<size_t>(h)] = SoftmaxNumerators(context, logits + h * n, n, sink[h]);
  }
  std::fill(out, out + heads * head_dim, 0.0F);
  for (int64_t begin = 0; begin < n; begin += kRowTile) {
    const int64_t count = std::min(kRowTile, n - begin);
    if (n > kRowTile) rows.Read(begin, count, tile);
    context.kernels.add_weighted_rows(logits + begin, n, heads, tile, count, head_dim, out);
  }
  for (int64_t h = 0; h < heads; ++h) {
    float* head = out + h * head_dim;
    for (int64_t i = 0; i < head_dim; ++i) head[i] /= scratch.sums[static_cast<size_t>(h)];
    if (context.reference()) RoundBf16Row(head, head_dim);
  }
}

}  // namespace dsv
