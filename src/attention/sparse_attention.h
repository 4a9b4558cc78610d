// Softmax attention of all heads over a list of rows that are key and value at once, with a sink
// (spec 3.9).
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/context.h"

namespace dsv {

// The rows of one query in canonical order: window rows by position, then compressed rows
// ascending. Implementations hand them out in tiles.
class RowSource {
 public:
  virtual ~RowSource() = default;
  virtual int64_t size() const = 0;
  // Writes rows [begin, begin + count) of the list to out: [count, head_dim].
  virtual void Read(int64_t begin, int64_t count, float* out) const = 0;
};

struct AttentionScratch {
  std::vector<float> tile;    // [tile rows, head_dim]
  std::vector<float> logits;  // [heads, rows]
  std::vector<float> sums;    // [heads]
};

// q and out are [heads, head_dim]; sink is [heads]. Two passes: all logits with the maximum of each
// head, then p and the weighted sum, rows ascending. Uses no threads.
void SparseAttention(const OpContext& context, const float* q, int64_t heads, int64_t head_dim,
                     const RowSource& rows, const float* sink, AttentionScratch& scratch,
                     float* out);

}  // namespace dsv
