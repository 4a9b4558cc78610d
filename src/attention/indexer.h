// The lightning indexer of CSA layers: which compressed rows a query attends (spec 4.8).
#pragma once

#include <cstdint>
#include <vector>

#include "attention/compressor.h"
#include "cache/batch.h"
#include "checkpoint/config.h"
#include "checkpoint/weights.h"
#include "kernels/context.h"
#include "kernels/topk.h"

namespace dsv {

// Index scores of `count` keys for one query (spec 4.8). `dots` is [Hi, count] with row stride
// `stride` and holds iq_h . key_s; w is [Hi]; scores is [count].
void CombineIndexScores(const OpContext& context, const float* dots, int64_t stride, const float* w,
                        int64_t heads, int64_t count, float* scores);

class Indexer {
 public:
  Indexer(const IndexerWeights& weights, const ModelConfig& config,
          const std::vector<float>& frequencies);

  const Compressor& compressor() const { return compressor_; }

  // iq of every row: qr is [rows, r], iq [rows, Hi, ci].
  void Queries(const OpContext& context, const Batch& batch, const float* qr, float* iq) const;

  // w of every row: x is [rows, d], w [rows, Hi].
  void HeadWeights(const OpContext& context, const float* x, int64_t rows, float* w) const;

  // Indices of the attended rows for every row of the segment, ascending; all visible rows where
  // they fit into index_topk. iq and w are the segment's rows; selected has segment.rows elements.
  void Select(const OpContext& context, const Segment& segment, const float* iq, const float* w,
              const RowStore& keys, std::vector<int64_t>* selected) const;

 private:
  struct Scratch;
  void SelectBlock(const OpContext& context, const Segment& segment, int64_t first, int64_t count,
                   const float* iq, const float* w, const RowStore& keys, Scratch& scratch,
                   std::vector<int64_t>* selected) const;

  const IndexerWeights& weights_;
  int64_t heads_;
  int64_t head_dim_;
  int64_t top_k_;
  const std::vector<float>& frequencies_;
  Compressor compressor_;
};

}  // namespace dsv
