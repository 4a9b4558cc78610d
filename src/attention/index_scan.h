// Keys of one layer streamed into the selections of a few queries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "attention/index_scorer.h"
#include "cache/row_blocks.h"
#include "kernels/context.h"
#include "kernels/topk.h"

namespace dsv {

// Once a selection is full, few keys get into it. Where the instruction set has a filter, the others
// are only compared with a bound of their score; those that pass are gathered and scored.
class IndexScan {
 public:
  // For the queries of the scorer: query i sees the keys [0, visible[i]) and offers them to top[i].
  // Everything must outlive the scan.
  IndexScan(const OpContext& context, const RowStore& keys, IndexScorer& scorer,
            std::span<const int64_t> visible, std::span<TopK> top);

  // Offers the keys [begin, end), `begin` the first of a block; ranges must ascend over calls.
  void Run(int64_t begin, int64_t end);

 private:
  // Keys that passed the filter for one query and wait for their scores.
  struct Waiting {
    std::vector<std::byte> keys;  // [kKeyRun, key bytes]
    int64_t indices[kKeyRun];
    int64_t count = 0;
  };

  void OfferAll(int64_t begin, int64_t count);
  void OfferFound(int64_t begin, int64_t count);
  void Add(int64_t query, int64_t index);
  void Flush(int64_t query);
  bool SetThresholds();

  const OpContext& context_;
  const RowStore& keys_;
  IndexScorer& scorer_;
  std::span<const int64_t> visible_;
  std::span<TopK> top_;
  int64_t step_;               // keys of one call of the scorer
  std::vector<float> scores_;  // [queries, step]
  std::vector<float> thresholds_;
  std::vector<uint32_t> found_;  // [queries, step / kKeyRun]
  std::vector<Waiting> waiting_;
};

}  // namespace dsv
