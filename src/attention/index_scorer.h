// Scores of index keys for a few queries at a time (spec 4.8).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "cache/row_blocks.h"
#include "kernels/context.h"
#include "kernels/index_kernels.h"

namespace dsv {

// In reference precision the keys are read as they are packed and the dot products are sums of
// integers; in f32 precision they are floats.
class IndexScorer {
 public:
  IndexScorer(int64_t heads, int64_t head_dim) : heads_(heads), head_dim_(head_dim) {}

  // The queries that the other functions are about: iq is [queries, Hi, ci], simulated FP4 in
  // reference precision, and w [queries, Hi]. Both must stay until the next call.
  void SetQueries(const OpContext& context, const float* iq, const float* w, int64_t queries);
  int64_t queries() const { return queries_; }

  // Floats between the scores of two queries.
  static int64_t Stride(int64_t count) { return (count + kKeyRun - 1) / kKeyRun * kKeyRun; }
  // Scores of the keys [begin, begin + count), `begin` the first of a block: [queries, Stride(count)],
  // of which those beyond `count` mean nothing.
  void Score(const OpContext& context, const RowStore& keys, int64_t begin, int64_t count,
             float* scores);

  // Whether Find is faster than Score.
  bool HasFilter(const OpContext& context) const {
    return context.reference() && heads_ >= kLeastFilterHeads &&
           context.kernels.index.filter != nullptr;
  }
  // A bit for every key of the range, first key in the lowest bit, that may have a score above the
  // threshold of the query, and for few others: [queries, Stride(count) / kKeyRun].
  void Find(const OpContext& context, const RowStore& keys, int64_t begin, int64_t count,
            const float* thresholds, uint32_t* found);
  // Scores of up to kKeyRun packed keys for one query: [kKeyRun].
  void ScorePacked(const OpContext& context, int64_t query, const std::byte* keys, int64_t count,
                   float* scores);

 private:
  struct alignas(64) CacheLine {
    std::byte bytes[64];
  };
  static void Resize(std::vector<CacheLine>& lines, int64_t bytes) {
    lines.resize((static_cast<size_t>(bytes) + sizeof(CacheLine) - 1) / sizeof(CacheLine));
  }

  IndexQueries Packed(int64_t first, int64_t count) const;
  void SetRuns(const RowStore& keys, int64_t begin, int64_t count);
  void ScoreFloats(const OpContext& context, const float* keys, int64_t count, float* scores,
                   int64_t stride);

  int64_t heads_;
  int64_t head_dim_;
  int64_t queries_ = 0;
  const float* iq_ = nullptr;
  const float* w_ = nullptr;
  std::vector<int8_t> q_;              // [queries, Hi, ci]
  std::vector<float> q_scale_;         // [queries, Hi, ci / 32]
  std::vector<int32_t> q_correction_;  // [queries, Hi, ci / 32]
  std::vector<CacheLine> packed_;      // [queries, packed_bytes_]
  int64_t packed_bytes_ = 0;
  std::vector<CacheLine> scratch_;
  std::vector<KeyRun> runs_;
  std::vector<float> dots_;  // [Hi, keys of a run], f32 precision
};

}  // namespace dsv
