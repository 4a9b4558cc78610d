// Softmax attention of all heads of a query over rows that are key and value at once, with a sink
// (spec 3.9).
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/context.h"

namespace dsv {

// One query. All its rows are given twice, in canonical order: window rows by position, then
// compressed rows ascending. Scan finds the largest logit of each head, Add sums p = exp(l - max)
// and p * row. How the rows are cut into calls changes no bit, and memory does not grow with their
// number: the logits of the first kKeptLogits rows are kept, those of later rows computed again.
class SparseAttention {
 public:
  static constexpr int64_t kKeptLogits = 2048;

  // q and out are [heads, head_dim]; out need not be set. `rows` is how many will be given.
  SparseAttention(const float* q, int64_t heads, int64_t head_dim, int64_t rows, float* out);

  void Scan(const OpContext& context, const float* rows, int64_t count);  // [count, head_dim]
  void Add(const OpContext& context, const float* rows, int64_t count);

  // Takes the sink into the denominators, sink is [heads], and finishes out.
  void Finish(const OpContext& context, const float* sink);

 private:
  // Scaled logits of the next rows: [heads, stride], the first `count` of each head.
  struct Block {
    float* logits;
    int64_t stride;
    int64_t count;
  };
  // Of the rows that stand in the list from `index` on; computed if they are new or not kept.
  Block NextBlock(const OpContext& context, const float* rows, int64_t count, int64_t index,
                  bool is_new);

  const float* q_;
  int64_t heads_;
  int64_t head_dim_;
  float* out_;
  int64_t scanned_ = 0;
  int64_t added_ = 0;
  int64_t kept_;
  std::vector<float> logits_;  // [heads, kept_], then a block of others
  std::vector<float> max_;     // [heads]
  std::vector<float> sum_;     // [heads], of p, unrounded
};

}  // namespace dsv
