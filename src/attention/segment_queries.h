// The queries of a segment and the rows that they see: what the two ways of sharing them out among
// threads have in common.
#pragma once

#include <cstdint>

#include "attention/attend.h"
#include "attention/attended_rows.h"
#include "attention/row_products.h"
#include "kernels/scratch.h"

namespace dsv {

// Logits that a thread keeps between the two products.
inline constexpr int64_t kKeptLogits = 1 << 20;

// A query on the way; maxima and sums of weights are [heads].
struct QueryInProgress {
  RowProducts::Query q;
  WindowRows::Range window;
  float* max;
  float* sum;
  float* out;
};

class SegmentQueries {
 public:
  SegmentQueries(const OpContext& context, const AttendJob& job);

  const OpContext& context() const { return context_; }
  const AttendJob& job() const { return job_; }
  const RowProducts& products() const { return products_; }

  int64_t WindowRowsOf(int64_t query) const { return window_.Of(job_.position + query).count; }
  int64_t CompressedRowsOf(int64_t query) const;
  int64_t MostCompressedRows() const;  // of any query
  // Chosen rows are of one query alone and kept expanded; see CompressedRows.
  bool KeepsRows() const { return job_.kind == LayerKind::kCsa; }
  CompressedRows RowsOf(int64_t query, std::byte* kept) const;

  // `query` has its memory: the packed query, max and sum.
  void Begin(int64_t index, QueryInProgress& query) const;
  // Counts what queries [first, end), which share their compressed rows, compute and read.
  void Count(int64_t first, int64_t end) const;

  RowProducts::Part All() const { return {0, products_.heads(), 0, products_.head_dim()}; }
  // Adds the window rows of one chunk to `part` of the result: [begin, begin + kChunk) or to the
  // end of the window. The first chunk overwrites. `space` has CompressedRows::SpaceBytes.
  void AddWindow(const QueryInProgress& query, const RowProducts::Weights& chunk, int64_t begin,
                 const RowProducts::Part& part, std::byte* space) const;
  void Finish(const QueryInProgress& query, const RowProducts::Part& part) const {
    products_.Finish(part, query.sum, query.max, job_.sink, query.out);
  }

 private:
  const OpContext& context_;
  const AttendJob& job_;
  RowProducts products_;
  ScratchArena arena_;
  WindowRows window_;
};

}  // namespace dsv
