// The rows that queries attend to, expanded for RowProducts.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "attention/row_products.h"
#include "base/thread_pool.h"
#include "cache/row_blocks.h"
#include "cache/window_ring.h"
#include "kernels/scratch.h"

namespace dsv {

// The window rows that the queries of a segment see: those before its first position, from the
// ring, and its own.
class WindowRows {
 public:
  // own is [queries, head_dim], of the positions from `position` on.
  WindowRows(const RowProducts& products, ThreadPool& pool, ScratchArena& arena,
             const WindowRing& ring, int64_t window, int64_t position, const float* own, int64_t queries);

  struct Range {
    const std::byte* rows;
    int64_t count;
  };
  Range Of(int64_t position) const;  // of the query there

 private:
  int64_t window_;
  int64_t first_;  // position of the first row
  int64_t row_bytes_;
  std::byte* rows_;
};

// Compressed rows in blocks of RowProducts::kBlock, packed as they are stored.
class CompressedRows {
 public:
  static constexpr int64_t kBlock = RowProducts::kBlock;
  static constexpr int64_t kChunk = RowProducts::kChunk;
  static constexpr int64_t kSlice = 256;  // columns that are arranged together

  // `indices` is null for all rows from 0 on. `kept` is null or has KeptBytes: the rows are
  // expanded once and stay there, arranged for the second product.
  CompressedRows(const RowProducts& products, const RowStore* store, const int64_t* indices,
                 int64_t count, std::byte* kept)
      : products_(products), store_(store), indices_(indices), count_(count), kept_(kept) {}
  static int64_t KeptBytes(const RowProducts& products, int64_t count);
  static int64_t PanelBytes(const RowProducts& products);  // a block, expanded
  static int64_t SpaceBytes(const RowProducts& products);  // a slice of a chunk, arranged

  int64_t count() const { return count_; }
  int64_t blocks() const { return (count_ + kBlock - 1) / kBlock; }
  int64_t RowsOf(int64_t block) const { return std::min(kBlock, count_ - block * kBlock); }
  bool keeps() const { return kept_ != nullptr; }

  // The rows of a block, [RowsOf(block), head_dim], and keeps them if they are to be kept.
  const std::byte* Expand(int64_t block, std::byte* panel) const;
  // Calls add(values, first, slice) for all slices of `part`, with the rows [begin, begin + count)
  // in columns from `first` on; begin is a multiple of kChunk and count at most that.
  template <class Add>
  void ForSlices(int64_t begin, int64_t count, const RowProducts::Part& part, std::byte* panel,
                 std::byte* space, const Add& add) const {
    if (keeps()) return add(Kept(begin), 0, part);
    StoredRows<kChunk> stored;
    Locate(begin, count, stored.data());
    for (RowProducts::Part slice = part; slice.begin < part.end; slice.begin = slice.end) {
      slice.end = std::min(part.end, slice.begin + kSlice);
      add(Arrange(stored.data(), count, slice.begin, slice.end, panel, space), slice.begin, slice);
    }
  }

 private:
  // Where stored rows begin. Finding one out follows pointers through its block.
  template <int64_t kRows>
  using StoredRows = std::array<const std::byte*, static_cast<size_t>(kRows)>;
  void Locate(int64_t begin, int64_t count, const std::byte** stored) const;

  // Columns [first, end) of `count` rows, one after the other; the bytes of `more` rows behind them
  // are asked for.
  void ExpandRows(const std::byte* const* stored, int64_t count, int64_t more, int64_t first,
                  int64_t end, std::byte* rows) const;
  RowProducts::Values Arrange(const std::byte* const* stored, int64_t count, int64_t first,
                              int64_t end, std::byte* panel, std::byte* space) const;
  RowProducts::Values Kept(int64_t begin) const {
    return {kept_ + begin * products_.row_bytes(), products_.head_dim()};
  }

  const RowProducts& products_;
  const RowStore* store_;
  const int64_t* indices_;
  int64_t count_;
  std::byte* kept_;
};

}  // namespace dsv
