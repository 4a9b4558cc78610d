#include "attention/index_scorer.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/quant.h"
#include "tensor/matrix_view.h"

namespace dsv {
namespace {

// One block of simulated values as integers; returns their sum.
int32_t ToIntegers(const float* block, float scale, int8_t* q) {
  const float inverse = 2 / scale;
  int32_t sum = 0;
  for (int64_t i = 0; i < kFp4Block; ++i) {
    const auto value = static_cast<int32_t>(block[i] * inverse);
    q[i] = static_cast<int8_t>(value);
    sum += value;
  }
  return sum;
}

}  // namespace

void IndexScorer::SetQueries(const OpContext& context, const float* iq, const float* w,
                             int64_t queries) {
  queries_ = queries;
  iq_ = iq;
  w_ = w;
  if (!context.reference()) return;
  const int64_t blocks = queries * heads_ * head_dim_ / kFp4Block;
  q_.resize(static_cast<size_t>(blocks * kFp4Block));
  q_scale_.resize(static_cast<size_t>(blocks));
  q_correction_.resize(static_cast<size_t>(blocks));
  for (int64_t b = 0; b < blocks; ++b) {
    const float* block = iq + b * kFp4Block;
    const float scale = Fp4Scale(block, kFp4Block);
    const int32_t sum = ToIntegers(block, scale, q_.data() + b * kFp4Block);
    q_scale_[static_cast<size_t>(b)] = scale / 4;
    q_correction_[static_cast<size_t>(b)] = -kIndexKeyBias * sum;
  }
  const IndexKernels& kernels = context.kernels.index;
  Resize(scratch_, kernels.scratch_bytes(heads_, head_dim_));
  if (kernels.pack == nullptr) return;
  packed_bytes_ = kernels.packed_bytes(heads_, head_dim_);
  Resize(packed_, queries * packed_bytes_);
  kernels.pack(Packed(0, queries), packed_.data());
}

IndexQueries IndexScorer::Packed(int64_t first, int64_t count) const {
  const int64_t rows = first * heads_;
  const int64_t blocks = rows * head_dim_ / kFp4Block;
  const auto* packed = reinterpret_cast<const std::byte*>(packed_.data());
  return {.q = q_.data() + blocks * kFp4Block,
          .q_scale = q_scale_.data() + blocks,
          .q_correction = q_correction_.data() + blocks,
          .w = w_ + rows,
          .queries = count,
          .heads = heads_,
          .width = head_dim_,
          .packed = packed_bytes_ == 0 ? nullptr : packed + first * packed_bytes_};
}

void IndexScorer::SetRuns(const RowStore& keys, int64_t begin, int64_t count) {
  DSV_CHECK(keys.rows_per_block() == kKeyRun && begin % kKeyRun == 0);
  runs_.clear();
  for (int64_t i = 0; i < count; i += kKeyRun) {
    runs_.push_back({keys.Stored(begin + i), std::min(kKeyRun, count - i)});
  }
}

void IndexScorer::Score(const OpContext& context, const RowStore& keys, int64_t begin,
                        int64_t count, float* scores) {
  context.Count(&OperationCounts::index_scan, queries_ * heads_ * head_dim_ * count);
  context.Count(&OperationCounts::key_bytes, count * keys.format().bytes());
  SetRuns(keys, begin, count);
  if (context.reference()) {
    context.kernels.index.scores({.queries = Packed(0, queries_),
                                  .runs = runs_.data(),
                                  .run_count = std::ssize(runs_),
                                  .scratch = scratch_.data(),
                                  .scores = scores});
    return;
  }
  for (const KeyRun& run : runs_) {
    ScoreFloats(context, static_cast<const float*>(run.keys), run.count, scores, Stride(count));
    scores += kKeyRun;
  }
}

void IndexScorer::Find(const OpContext& context, const RowStore& keys, int64_t begin,
                       int64_t count, const float* thresholds, uint32_t* found) {
  context.Count(&OperationCounts::index_scan, queries_ * heads_ * head_dim_ * count);
  context.Count(&OperationCounts::key_bytes, count * keys.format().bytes());
  SetRuns(keys, begin, count);
  context.kernels.index.filter({.queries = Packed(0, queries_),
                                .runs = runs_.data(),
                                .run_count = std::ssize(runs_),
                                .scratch = scratch_.data(),
                                .thresholds = thresholds,
                                .found = found});
}

void IndexScorer::ScorePacked(const OpContext& context, int64_t query, const std::byte* keys,
                              int64_t count, float* scores) {
  const KeyRun run{keys, count};
  context.kernels.index.scores({.queries = Packed(query, 1),
                                .runs = &run,
                                .run_count = 1,
                                .scratch = scratch_.data(),
                                .scores = scores});
}

void IndexScorer::ScoreFloats(const OpContext& context, const float* keys, int64_t count,
                              float* scores, int64_t stride) {
  dots_.resize(static_cast<size_t>(heads_ * count));
  for (int64_t i = 0; i < queries_; ++i, scores += stride) {
    context.kernels.linear.dot(keys, head_dim_, count, iq_ + i * heads_ * head_dim_, head_dim_,
                               heads_, head_dim_, dots_.data(), count);
    std::fill(scores, scores + count, 0.0F);
    for (int64_t h = 0; h < heads_; ++h) {
      const float w = w_[i * heads_ + h];
      for (int64_t s = 0; s < count; ++s) {
        scores[s] += std::max(dots_[static_cast<size_t>(h * count + s)], 0.0F) * w;
      }
    }
  }
}

}  // namespace dsv
