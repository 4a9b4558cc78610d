#include "attention/attend_together.h"

#include <algorithm>
#include <vector>

namespace dsv {
namespace {

constexpr int64_t kBlock = RowProducts::kBlock;
constexpr int64_t kChunk = RowProducts::kChunk;

using Part = RowProducts::Part;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The rows of a query in blocks, first those of the window, then the compressed ones. Both begin
// with a chunk of their own.
class SharedQuery {
 public:
  SharedQuery(const SegmentQueries& queries, int64_t index);
  void Run();

 private:
  void Scan();
  void Weigh();
  void AddPart(const Part& part, int64_t worker) const;
  std::vector<Part> Parts() const;

  RowProducts::Weights Chunk(int64_t chunk) const {
    return {logits_ + chunk * kChunk * products_.stride(),
            weights_ + chunk * products_.weights_bytes()};
  }
  struct Place {
    int64_t chunk;
    int64_t first;  // row of the chunk
    int64_t count;
  };
  Place PlaceOf(int64_t block) const {
    constexpr int64_t kBlocks = kChunk / kBlock;
    if (block < window_blocks_) {
      return {block / kBlocks, block % kBlocks * kBlock,
              std::min(kBlock, query_.window.count - block * kBlock)};
    }
    block -= window_blocks_;
    return {window_chunks_ + block / kBlocks, block % kBlocks * kBlock, rows_.RowsOf(block)};
  }

  const SegmentQueries& queries_;
  const RowProducts& products_;
  ThreadPool& pool_;
  int64_t index_;
  int64_t window_blocks_;
  int64_t window_chunks_;
  int64_t blocks_;  // of all rows
  int64_t chunks_;
  ScratchArena arena_;
  CompressedRows rows_;
  QueryInProgress query_{};
  float* logits_;       // [chunks, kChunk, stride]
  std::byte* weights_;  // of every chunk
  float* block_sums_;   // [blocks, stride]
  struct Worker {
    float* max;
    std::byte* panel;
    std::byte* space;
  };
  std::vector<Worker> workers_;
};

SharedQuery::SharedQuery(const SegmentQueries& queries, int64_t index)
    : queries_(queries),
      products_(queries.products()),
      pool_(queries.context().pool),
      index_(index),
      window_blocks_(CeilDiv(queries.WindowRowsOf(index), kBlock)),
      window_chunks_(CeilDiv(queries.WindowRowsOf(index), kChunk)),
      blocks_(window_blocks_ + CeilDiv(queries.CompressedRowsOf(index), kBlock)),
      chunks_(window_chunks_ + CeilDiv(queries.CompressedRowsOf(index), kChunk)),
      arena_(queries.context()),
      rows_(queries.RowsOf(
          index, arena_.Take(queries.KeepsRows() ? CompressedRows::KeptBytes(
                                                       products_, queries.CompressedRowsOf(index))
                                                 : 0))) {
  const int64_t stride = products_.stride();
  query_.q.packed = arena_.Take(products_.query_bytes());
  query_.max = arena_.TakeFloats(stride);
  query_.sum = arena_.TakeFloats(stride);
  logits_ = arena_.TakeFloats(chunks_ * kChunk * stride);
  weights_ = arena_.Take(chunks_ * products_.weights_bytes());
  block_sums_ = arena_.TakeFloats(blocks_ * stride);
  for (int64_t i = 0; i < pool_.size(); ++i) {
    workers_.push_back({arena_.TakeFloats(stride), arena_.Take(CompressedRows::PanelBytes(products_)),
                        arena_.Take(CompressedRows::SpaceBytes(products_))});
  }
}

void SharedQuery::Run() {
  queries_.Count(index_, index_ + 1);
  queries_.Begin(index_, query_);
  Scan();
  Weigh();
  const std::vector<Part> parts = Parts();
  pool_.ParallelFor(std::ssize(parts), [&](int64_t i, int64_t worker) {
    AddPart(parts[static_cast<size_t>(i)], worker);
  });
}

void SharedQuery::Scan() {
  for (const Worker& worker : workers_) std::copy_n(query_.max, products_.heads(), worker.max);
  pool_.ParallelFor(blocks_, [&](int64_t block, int64_t worker) {
    const auto& [max, panel, space] = workers_[static_cast<size_t>(worker)];
    const std::byte* expanded = block < window_blocks_
                                    ? query_.window.rows + block * kBlock * products_.row_bytes()
                                    : rows_.Expand(block - window_blocks_, panel);
    const auto [chunk, first, count] = PlaceOf(block);
    products_.Logits(query_.q, expanded, count, Chunk(chunk).logits + first * products_.stride(),
                     max);
  });
  for (const Worker& worker : workers_) {
    for (int64_t h = 0; h < products_.heads(); ++h) {
      query_.max[h] = std::max(query_.max[h], worker.max[h]);
    }
  }
}

void SharedQuery::Weigh() {
  pool_.ParallelFor(blocks_, [&](int64_t block, int64_t) {
    const auto [chunk, first, count] = PlaceOf(block);
    products_.Weigh(Chunk(chunk), first, count, query_.max,
                    block_sums_ + block * products_.stride());
  });
  for (int64_t block = 0; block < blocks_; ++block) {
    const float* sum = block_sums_ + block * products_.stride();
    for (int64_t h = 0; h < products_.heads(); ++h) query_.sum[h] += sum[h];
  }
}

void SharedQuery::AddPart(const Part& part, int64_t worker) const {
  const auto& [max, panel, space] = workers_[static_cast<size_t>(worker)];
  for (int64_t chunk = 0; chunk < window_chunks_; ++chunk) {
    queries_.AddWindow(query_, Chunk(chunk), chunk * kChunk, part, space);
  }
  for (int64_t begin = 0; begin < rows_.count(); begin += kChunk) {
    const int64_t count = std::min(kChunk, rows_.count() - begin);
    const RowProducts::Weights chunk = Chunk(window_chunks_ + begin / kChunk);
    rows_.ForSlices(begin, count, part, panel, space,
                    [&](const RowProducts::Values& values, int64_t first, const Part& slice) {
                      products_.AddValues(chunk, values, count, first, slice, /*is_first=*/false,
                                          query_.out);
                    });
  }
  queries_.Finish(query_, part);
}

// One for each thread: columns while there are enough of them, because threads that share columns
// expand the same rows, then heads as well.
std::vector<Part> SharedQuery::Parts() const {
  constexpr int64_t kColumns = 64;
  constexpr int64_t kHeads = 16;
  const int64_t columns = CeilDiv(products_.head_dim(), kColumns);
  const int64_t tiles = CeilDiv(products_.heads(), kHeads);
  const int64_t across = std::min(pool_.size(), columns);
  const int64_t down = std::min(CeilDiv(pool_.size(), across), tiles);
  std::vector<Part> parts;
  for (int64_t i = 0; i < across * down; ++i) {
    const int64_t x = i % across;
    const int64_t y = i / across;
    parts.push_back({.first_head = y * tiles / down * kHeads,
                     .end_head = std::min(products_.heads(), (y + 1) * tiles / down * kHeads),
                     .begin = x * columns / across * kColumns,
                     .end = std::min(products_.head_dim(), (x + 1) * columns / across * kColumns)});
  }
  return parts;
}

}  // namespace

bool FitsTogether(const SegmentQueries& queries, int64_t index) {
  const RowProducts& products = queries.products();
  const int64_t rows = queries.WindowRowsOf(index) + queries.CompressedRowsOf(index) + 2 * kChunk;
  // Logits, weights and, of every block, sums.
  const int64_t row_bytes = 4 * products.stride() + 2 * products.heads() + products.stride();
  return rows * row_bytes <= 4 * kKeptLogits * queries.context().pool.size();
}

void AttendTogether(const SegmentQueries& queries, int64_t index) {
  SharedQuery(queries, index).Run();
}

}  // namespace dsv
