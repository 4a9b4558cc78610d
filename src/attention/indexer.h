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

// Scores keys for a few queries at a time (spec 4.8). In reference precision the keys are read as
// they are packed and the dot products are sums of integers; in f32 precision they are floats.
class IndexScorer {
 public:
  IndexScorer(int64_t heads, int64_t head_dim) : heads_(heads), head_dim_(head_dim) {}

  // The queries that Score is about: iq is [queries, Hi, ci], simulated FP4 in reference precision,
  // and w [queries, Hi]. Both must stay until the next call.
  void SetQueries(const OpContext& context, const float* iq, const float* w, int64_t queries);

  // Scores of the keys [begin, begin + count), which must lie in one block: [queries, count].
  void Score(const OpContext& context, const RowStore& keys, int64_t begin, int64_t count,
             float* scores);

 private:
  void ScorePacked(const OpContext& context, const std::byte* keys, int64_t count, float* scores);
  void ScoreFloats(const OpContext& context, const std::byte* keys, int64_t count, float* scores);

  int64_t heads_;
  int64_t head_dim_;
  int64_t queries_ = 0;
  const float* iq_ = nullptr;
  const float* w_ = nullptr;
  std::vector<int8_t> q_;              // [queries, Hi, ci]
  std::vector<float> q_scale_;         // [queries, Hi, ci / 32]
  std::vector<int32_t> q_correction_;  // [queries, Hi, ci / 32]
  struct alignas(64) CacheLine {
    std::byte bytes[64];
  };
  std::vector<float> dots_;  // [Hi, count], f32 precision
  std::vector<CacheLine> scratch_;
};

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
