#include "attention/attend.h"

#include <algorithm>
#include <span>
#include <vector>

#include "attention/attend_together.h"
#include "attention/segment_queries.h"

namespace dsv {
namespace {

constexpr int64_t kBlock = RowProducts::kBlock;
constexpr int64_t kChunk = RowProducts::kChunk;
// Queries that share the expansion of HCA rows on one thread; fewer where the logits of so many
// could not be kept, because a product costs more than an expansion.
constexpr int64_t kQueries = 4;
constexpr int64_t kLeastQueries = 2;

int64_t RoundUp(int64_t a, int64_t b) { return (a + b - 1) / b * b; }

// A query with the logits of its window rows and of the compressed rows below Workspace::kept;
// those of later rows lie, one chunk at a time, in `spare`.
struct Query : QueryInProgress {
  float* window_logits;
  float* logits;
  float* spare;
  std::byte* weights;  // of a chunk
};

// What a thread needs for queries that it attends together.
struct Workspace {
  Workspace(ScratchArena& arena, const SegmentQueries& segment, int64_t queries);

  int64_t kept;
  std::vector<Query> queries;
  float* block_sum;
  std::byte* panel;
  std::byte* space;
  std::byte* values;
};

Workspace::Workspace(ScratchArena& arena, const SegmentQueries& segment, int64_t query_count) {
  const RowProducts& products = segment.products();
  const int64_t stride = products.stride();
  const int64_t window = segment.WindowRowsOf(segment.job().queries - 1);
  const int64_t rows = segment.MostCompressedRows();
  const int64_t most = std::max<int64_t>(kKeptLogits / query_count / stride - window, 0);
  kept = std::min(RoundUp(rows, kChunk), most / kChunk * kChunk);
  for (int64_t i = 0; i < query_count; ++i) {
    Query query{};
    query.q.packed = arena.Take(products.query_bytes());
    query.max = arena.TakeFloats(stride);
    query.sum = arena.TakeFloats(stride);
    query.window_logits = arena.TakeFloats(window * stride);
    query.logits = arena.TakeFloats(kept * stride);
    query.spare = arena.TakeFloats(rows > kept ? kChunk * stride : 0);
    query.weights = arena.Take(products.weights_bytes());
    queries.push_back(query);
  }
  block_sum = arena.TakeFloats(stride);
  panel = arena.Take(CompressedRows::PanelBytes(products));
  space = arena.Take(CompressedRows::SpaceBytes(products));
  values = arena.Take(segment.KeepsRows() ? CompressedRows::KeptBytes(products, rows) : 0);
}

// Queries [first, end), which see the same compressed rows, on one thread.
struct Group {
  int64_t first;
  int64_t end;
};

class GroupOfQueries {
 public:
  GroupOfQueries(const SegmentQueries& segment, const Group& group, Workspace& workspace)
      : segment_(segment),
        products_(segment.products()),
        group_(group),
        workspace_(workspace),
        queries_(workspace.queries.data(), static_cast<size_t>(group.end - group.first)),
        rows_(segment.RowsOf(group.first, workspace.values)) {}

  void Run();

 private:
  float* LogitsOf(const Query& query, int64_t row) const {
    return row < workspace_.kept ? query.logits + row * products_.stride()
                                 : query.spare + row % kChunk * products_.stride();
  }
  void Scan(int64_t block);
  void Weigh(const RowProducts::Weights& chunk, int64_t count, Query& query);
  void AddWindow(Query& query);
  void AddRows(int64_t begin);

  const SegmentQueries& segment_;
  const RowProducts& products_;
  Group group_;
  Workspace& workspace_;
  std::span<Query> queries_;
  CompressedRows rows_;
};

void GroupOfQueries::Run() {
  segment_.Count(group_.first, group_.end);
  for (size_t i = 0; i < queries_.size(); ++i) {
    Query& query = queries_[i];
    segment_.Begin(group_.first + static_cast<int64_t>(i), query);
    products_.Logits(query.q, query.window.rows, query.window.count, query.window_logits,
                     query.max);
  }
  for (int64_t block = 0; block < rows_.blocks(); ++block) Scan(block);
  for (Query& query : queries_) AddWindow(query);
  for (int64_t begin = 0; begin < rows_.count(); begin += kChunk) AddRows(begin);
  for (Query& query : queries_) segment_.Finish(query, segment_.All());
}

void GroupOfQueries::Scan(int64_t block) {
  const std::byte* expanded = rows_.Expand(block, workspace_.panel);
  for (Query& query : queries_) {
    products_.Logits(query.q, expanded, rows_.RowsOf(block), LogitsOf(query, block * kBlock),
                     query.max);
  }
}

void GroupOfQueries::Weigh(const RowProducts::Weights& chunk, int64_t count, Query& query) {
  for (int64_t i = 0; i < count; i += kBlock) {
    products_.Weigh(chunk, i, std::min(kBlock, count - i), query.max, workspace_.block_sum);
    for (int64_t h = 0; h < products_.heads(); ++h) query.sum[h] += workspace_.block_sum[h];
  }
}

void GroupOfQueries::AddWindow(Query& query) {
  for (int64_t begin = 0; begin < query.window.count; begin += kChunk) {
    const RowProducts::Weights chunk{query.window_logits + begin * products_.stride(),
                                     query.weights};
    Weigh(chunk, std::min(kChunk, query.window.count - begin), query);
    segment_.AddWindow(query, chunk, begin, segment_.All(), workspace_.space);
  }
}

void GroupOfQueries::AddRows(int64_t begin) {
  const int64_t count = std::min(kChunk, rows_.count() - begin);
  if (begin >= workspace_.kept) {
    for (int64_t i = begin; i < begin + count; i += kBlock) Scan(i / kBlock);
  }
  for (Query& query : queries_) Weigh({LogitsOf(query, begin), query.weights}, count, query);
  rows_.ForSlices(begin, count, segment_.All(), workspace_.panel, workspace_.space,
                  [&](const RowProducts::Values& values, int64_t first,
                      const RowProducts::Part& slice) {
                    for (Query& query : queries_) {
                      products_.AddValues({LogitsOf(query, begin), query.weights}, values, count,
                                          first, slice, /*is_first=*/false, query.out);
                    }
                  });
}

int64_t QueriesOfGroup(const SegmentQueries& segment) {
  if (segment.job().kind != LayerKind::kHca) return 1;
  const int64_t rows = segment.MostCompressedRows() + segment.job().config.sliding_window + kChunk;
  const int64_t keeping = kKeptLogits / (rows * segment.products().stride());
  const int64_t each = segment.job().queries / segment.context().pool.size();
  return std::clamp<int64_t>(each, 1, std::clamp(keeping, kLeastQueries, kQueries));
}

std::vector<Group> Groups(const SegmentQueries& segment) {
  const int64_t queries = segment.job().queries;
  const int64_t most = QueriesOfGroup(segment);
  std::vector<Group> groups;
  for (int64_t first = 0; first < queries; first = groups.back().end) {
    const int64_t rows = segment.CompressedRowsOf(first);
    int64_t end = first + 1;
    while (end < std::min(first + most, queries) && segment.CompressedRowsOf(end) == rows) ++end;
    groups.push_back({first, end});
  }
  return groups;
}

void AttendInGroups(const SegmentQueries& segment) {
  const std::vector<Group> groups = Groups(segment);
  int64_t most = 1;
  for (const Group& group : groups) most = std::max(most, group.end - group.first);
  ThreadPool& pool = segment.context().pool;
  ScratchArena arena(segment.context());
  std::vector<Workspace> workspaces;
  for (int64_t i = 0; i < pool.size(); ++i) workspaces.emplace_back(arena, segment, most);
  pool.ParallelFor(std::ssize(groups), [&](int64_t i, int64_t worker) {
    GroupOfQueries(segment, groups[static_cast<size_t>(i)],
                   workspaces[static_cast<size_t>(worker)])
        .Run();
  });
}

}  // namespace

void Attend(const OpContext& context, const AttendJob& job) {
  const SegmentQueries segment(context, job);
  if (job.queries >= context.pool.size() || !FitsTogether(segment, job.queries - 1)) {
    return AttendInGroups(segment);
  }
  for (int64_t i = 0; i < job.queries; ++i) AttendTogether(segment, i);
}

int64_t AttendFloats(const ModelConfig& config, int64_t rows, int64_t threads) {
  const int64_t c = config.head_dim;
  const int64_t heads = RoundUp(config.num_attention_heads, kTileSize);
  const int64_t window = config.sliding_window;
  // The query, weights and logits of a chunk, logits of the window; maxima and sums.
  const int64_t query = heads * (c + 2 * kChunk + window + 4);
  const int64_t row_space = kBlock * c + kChunk * std::min(CompressedRows::kSlice, c) +
                            RoundUp(config.index_topk, kBlock) * c;
  constexpr int64_t kAlignments = 16 * 64;
  return (rows + window) * c + threads * (kKeptLogits + kQueries * query + row_space + kAlignments);
}

}  // namespace dsv
