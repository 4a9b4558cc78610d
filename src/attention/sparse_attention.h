// Softmax attention over rows that are key and value at once, with a sink (spec 3.9).
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/context.h"

namespace dsv {

// Some heads, of one query or of several. A head is given its rows twice, in canonical order:
// window rows by position, then compressed rows ascending. Scan finds the largest logit, Add sums
// p = exp(l - max) and p * row. How the rows are cut into calls, and which heads share a call,
// changes no bit. Memory does not grow with the rows: logits are kept while there is room for them,
// those of later rows are computed again.
class SparseAttention {
 public:
  // q and out are [heads, head_dim]; out need not be set. `slots` are the rows of a head.
  SparseAttention(const float* q, int64_t heads, int64_t head_dim, int64_t slots, float* out);

  // Rows [count, head_dim] that stand in the lists of the heads of `range` from `slot` on.
  struct Heads {
    int64_t first;
    int64_t count;
  };
  void Scan(const OpContext& context, const float* rows, int64_t count, int64_t slot, Heads range);
  void Add(const OpContext& context, const float* rows, int64_t count, int64_t slot, Heads range);

  // Takes the sinks into the denominators and finishes out. sink is [n]; head h has sink h % n.
  void Finish(const OpContext& context, const float* sink, int64_t n);

 private:
  // Scaled logits of the next rows: [range.count, stride], the first `count` of each head.
  struct Block {
    float* logits;
    int64_t stride;
    int64_t count;
  };
  // Computed if they are new or have not been kept.
  Block NextBlock(const OpContext& context, const float* rows, int64_t count, int64_t slot,
                  Heads range, bool is_new);

  const float* q_;
  int64_t heads_;
  int64_t head_dim_;
  float* out_;
  int64_t kept_;               // slots whose logits are kept
  std::vector<float> logits_;  // [heads, kept_], then [heads, a block] of others
  std::vector<float> max_;     // [heads]
  std::vector<float> sum_;     // [heads], of p, unrounded
};

}  // namespace dsv
