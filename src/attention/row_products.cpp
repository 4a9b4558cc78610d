#include "attention/row_products.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"

namespace dsv {
namespace {

constexpr int64_t kTileElements = kTileSize * kTileK;

const uint16_t* Bf16(const std::byte* data) { return reinterpret_cast<const uint16_t*>(data); }
uint16_t* Bf16(std::byte* data) { return reinterpret_cast<uint16_t*>(data); }
const float* Floats(const std::byte* data) { return reinterpret_cast<const float*>(data); }
float* Floats(std::byte* data) { return reinterpret_cast<float*>(data); }

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

RowProducts::RowProducts(const OpContext& context, int64_t heads, int64_t head_dim)
    : context_(context),
      bf16_(context.reference() && head_dim % kTileK == 0 ? context.kernels.bf16 : nullptr),
      heads_(heads),
      head_dim_(head_dim),
      stride_(heads < kTileSize ? heads : CeilDiv(heads, kTileSize) * kTileSize),
      scale_(static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim)))) {}

void RowProducts::PackQuery(const Query& query) const {
  if (bf16_ == nullptr) return;
  bf16_->pack_columns(query.q, head_dim_, heads_, head_dim_, Bf16(query.packed),
                      kTileK * std::min(stride_, kTileSize), head_dim_ * kTileSize);
}

void RowProducts::Expand(const RowFormat& format, const std::byte* stored, int64_t begin,
                         int64_t end, std::byte* row) const {
  if (bf16_ != nullptr) {
    format.UnpackPart(*bf16_, stored, begin, end, Bf16(row));
  } else {
    format.UnpackPart(context_.kernels, stored, begin, end, Floats(row));
  }
}

void RowProducts::Convert(const float* values, std::byte* row) const {
  if (bf16_ != nullptr) {
    bf16_->round(values, head_dim_, Bf16(row));
  } else {
    std::memcpy(row, values, static_cast<size_t>(row_bytes()));
  }
}

void RowProducts::Logits(const Query& query, const std::byte* rows, int64_t count, float* logits,
                         float* max) const {
  if (bf16_ != nullptr) {
    bf16_->product({.a = Bf16(rows),
                    .a_stride = head_dim_,
                    .b = Bf16(query.packed),
                    .b_k_stride = kTileK * std::min(stride_, kTileSize),
                    .b_n_stride = head_dim_ * kTileSize,
                    .c = logits,
                    .c_stride = stride_,
                    .m = count,
                    .n = stride_,
                    .k_blocks = head_dim_ / kTileK,
                    .add = false});
  } else {
    context_.kernels.linear.dot(query.q, head_dim_, heads_, Floats(rows), head_dim_, count,
                                head_dim_, logits, stride_);
  }
  context_.kernels.attention.max_rows(logits, stride_, count, heads_, max);
}

void RowProducts::Weigh(const Weights& chunk, int64_t first, int64_t count, const float* max,
                        float* sum) const {
  DSV_DCHECK(first % kBlock == 0 && count <= kBlock);
  float* p = chunk.logits + first * stride_;
  const bool round = context_.reference() && bf16_ == nullptr;
  context_.kernels.attention.softmax_rows(p, stride_, count, heads_, scale_, max, round, sum);
  if (bf16_ == nullptr) return;
  bf16_->transpose(p, stride_, count, heads_, Bf16(chunk.bf16) + first, kChunk);
}

RowProducts::Values RowProducts::Arrange(const std::byte* rows, int64_t row_columns, int64_t count,
                                         int64_t columns, std::byte* space) const {
  if (bf16_ == nullptr) return {rows, row_columns};
  bf16_->pack_rows(Bf16(rows), row_columns, count, columns, Bf16(space));
  return {space, columns};
}

void RowProducts::AddValues(const Weights& chunk, const Values& values, int64_t count,
                            int64_t first, const Part& part, bool is_first, float* out) const {
  out += part.first_head * head_dim_ + part.begin;
  const int64_t heads = part.end_head - part.first_head;
  const int64_t columns = part.end - part.begin;
  const int64_t column = part.begin - first;
  if (bf16_ != nullptr) {
    bf16_->product({.a = Bf16(chunk.bf16) + part.first_head * kChunk,
                    .a_stride = kChunk,
                    .b = Bf16(values.data) + column * kTileK,
                    .b_k_stride = values.columns * kTileK,
                    .b_n_stride = kTileElements,
                    .c = out,
                    .c_stride = head_dim_,
                    .m = heads,
                    .n = columns,
                    .k_blocks = CeilDiv(count, kTileK),
                    .add = !is_first});
    return;
  }
  for (int64_t h = 0; is_first && h < heads; ++h) std::fill_n(out + h * head_dim_, columns, 0.0F);
  context_.kernels.attention.add_weighted_rows({.p = chunk.logits + part.first_head,
                                                .p_stride = stride_,
                                                .row = Floats(values.data) + column,
                                                .row_stride = values.columns,
                                                .out = out,
                                                .out_stride = head_dim_,
                                                .heads = heads,
                                                .rows = count,
                                                .width = columns});
}

void RowProducts::Finish(const Part& part, const float* sum, const float* max, const float* sink,
                         float* out) const {
  for (int64_t h = part.first_head; h < part.end_head; ++h) {
    const float divisor = sum[h] + std::exp(sink[h] - scale_ * max[h]);
    context_.kernels.attention.divide(out + h * head_dim_ + part.begin, part.end - part.begin,
                                      divisor, context_.reference());
  }
}

}  // namespace dsv
