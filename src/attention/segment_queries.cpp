#include "attention/segment_queries.h"

#include <algorithm>
#include <limits>

namespace dsv {

SegmentQueries::SegmentQueries(const OpContext& context, const AttendJob& job)
    : context_(context),
      job_(job),
      products_(context, job.config.num_attention_heads, job.config.head_dim),
      arena_(context),
      window_(products_, context.pool, arena_, job.state.window, job.config.sliding_window,
              job.position, job.window_rows, job.queries) {}

int64_t SegmentQueries::CompressedRowsOf(int64_t query) const {
  switch (job_.kind) {
    case LayerKind::kSwa:
      return 0;
    case LayerKind::kCsa:
      return std::ssize(job_.selected[query]);
    case LayerKind::kHca:
      return (job_.position + query + 1) / CompressRatio(LayerKind::kHca);
  }
  return 0;
}

int64_t SegmentQueries::MostCompressedRows() const {
  int64_t most = 0;
  for (int64_t i = 0; i < job_.queries; ++i) most = std::max(most, CompressedRowsOf(i));
  return most;
}

CompressedRows SegmentQueries::RowsOf(int64_t query, std::byte* kept) const {
  const RowStore* store = job_.kind == LayerKind::kSwa ? nullptr : &*job_.state.rows;
  const int64_t* indices =
      job_.kind == LayerKind::kCsa ? job_.selected[query].data() : nullptr;
  return {products_, store, indices, CompressedRowsOf(query), kept};
}

void SegmentQueries::Begin(int64_t index, QueryInProgress& query) const {
  const int64_t offset = index * products_.heads() * products_.head_dim();
  query.q.q = job_.q + offset;
  query.out = job_.out + offset;
  query.window = window_.Of(job_.position + index);
  std::fill_n(query.max, products_.heads(), -std::numeric_limits<float>::infinity());
  std::fill_n(query.sum, products_.heads(), 0.0F);
  products_.PackQuery(query.q);
}

void SegmentQueries::Count(int64_t first, int64_t end) const {
  const int64_t rows = CompressedRowsOf(first);
  for (int64_t i = first; i < end; ++i) {
    context_.Count(&OperationCounts::attention,
                   2 * (WindowRowsOf(i) + rows) * products_.heads() * products_.head_dim());
  }
  if (rows == 0) return;
  const int64_t bytes = rows * job_.state.rows->format().bytes();
  if (job_.kind == LayerKind::kHca) {
    context_.Count(&OperationCounts::hca_bytes, 2 * bytes);  // for each of the products
  } else {
    context_.Count(&OperationCounts::csa_bytes, bytes);
  }
}

void SegmentQueries::AddWindow(const QueryInProgress& query, const RowProducts::Weights& chunk,
                               int64_t begin, const RowProducts::Part& part,
                               std::byte* space) const {
  const int64_t count = std::min(RowProducts::kChunk, query.window.count - begin);
  const std::byte* rows = query.window.rows + begin * products_.row_bytes();
  for (RowProducts::Part slice = part; slice.begin < part.end; slice.begin = slice.end) {
    slice.end = std::min(part.end, slice.begin + CompressedRows::kSlice);
    const std::byte* columns = rows + slice.begin * products_.element_bytes();
    const auto values = products_.Arrange(columns, products_.head_dim(), count,
                                          slice.end - slice.begin, space);
    products_.AddValues(chunk, values, count, slice.begin, slice, begin == 0, query.out);
  }
}

}  // namespace dsv
