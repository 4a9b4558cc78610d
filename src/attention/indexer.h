// The lightning indexer of CSA layers: which compressed rows a query attends (spec 4.8).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "attention/compressor.h"
#include "cache/batch.h"
#include "checkpoint/config.h"
#include "checkpoint/weights.h"
#include "kernels/context.h"
#include "kernels/topk.h"

namespace dsv {

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
  // Queries [first, first + count) of a segment and keys [begin_key, end_key).
  struct Part {
    int64_t first;
    int64_t count;
    int64_t begin_key;
    int64_t end_key;
  };
  // The best keys of a part for each of its queries.
  void Scan(const OpContext& context, const Segment& segment, const Part& part, const float* iq,
            const float* w, const RowStore& keys, std::vector<TopK>& top) const;

  const IndexerWeights& weights_;
  int64_t heads_;
  int64_t head_dim_;
  int64_t top_k_;
  const std::vector<float>& frequencies_;
  Compressor compressor_;
};

}  // namespace dsv
