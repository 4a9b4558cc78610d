#include "attention/attended_rows.h"

namespace dsv {
namespace {

// Rows whose bytes are asked for before they are expanded: chosen rows lie far apart.
constexpr int64_t kPrefetchRows = 4;
constexpr int64_t kLine = 64;

void Prefetch(const std::byte* begin, const std::byte* end) {
  for (; begin < end; begin += kLine) __builtin_prefetch(begin);
  __builtin_prefetch(end - 1);
}

}  // namespace

WindowRows::WindowRows(const RowProducts& products, ThreadPool& pool, ScratchArena& arena,
                       const WindowRing& ring, int64_t window, int64_t position, const float* own, int64_t queries)
    : window_(window),
      first_(std::max<int64_t>(0, position - window + 1)),
      row_bytes_(products.row_bytes()),
      rows_(arena.Take((position - first_ + queries) * row_bytes_)) {
  const int64_t before = position - first_;
  const int64_t width = products.head_dim();
  const auto fill = [&](int64_t i) {
    std::byte* row = rows_ + i * row_bytes_;
    if (i < before) {
      products.Expand(ring.format(), ring.Stored(first_ + i), 0, width, row);
    } else {
      products.Convert(own + (i - before) * width, row);
    }
  };
  constexpr int64_t kRows = 32;
  const int64_t all = before + queries;
  pool.ParallelFor((all + kRows - 1) / kRows, [&](int64_t index, int64_t) {
    for (int64_t i = index * kRows; i < std::min(all, (index + 1) * kRows); ++i) fill(i);
  });
}

WindowRows::Range WindowRows::Of(int64_t position) const {
  const int64_t first = std::max<int64_t>(0, position - window_ + 1);
  return {rows_ + (first - first_) * row_bytes_, position + 1 - first};
}

int64_t CompressedRows::KeptBytes(const RowProducts& products, int64_t count) {
  return (count + kBlock - 1) / kBlock * kBlock * products.row_bytes();
}

int64_t CompressedRows::PanelBytes(const RowProducts& products) {
  return kBlock * products.row_bytes();
}

int64_t CompressedRows::SpaceBytes(const RowProducts& products) {
  return kChunk * std::min(kSlice, products.head_dim()) * products.element_bytes();
}

void CompressedRows::Locate(int64_t begin, int64_t count, const std::byte** stored) const {
  for (int64_t i = 0; i < count; ++i) {
    stored[i] = store_->Stored(indices_ == nullptr ? begin + i : indices_[begin + i]);
  }
}

void CompressedRows::ExpandRows(const std::byte* const* stored, int64_t count, int64_t more,
                                int64_t first, int64_t end, std::byte* rows) const {
  const RowFormat& format = store_->format();
  const int64_t bytes = (end - first) * products_.element_bytes();
  // About where those columns lie.
  const int64_t first_byte = first * format.bytes() / format.width();
  const int64_t end_byte = end * format.bytes() / format.width();
  for (int64_t i = 0; i < count; ++i, rows += bytes) {
    if (i + kPrefetchRows < count + more) {
      const std::byte* row = stored[i + kPrefetchRows];
      Prefetch(row + first_byte, row + end_byte);
    }
    products_.Expand(format, stored[i], first, end, rows);
  }
}

const std::byte* CompressedRows::Expand(int64_t block, std::byte* panel) const {
  const int64_t width = products_.head_dim();
  const int64_t begin = block * kBlock;
  const int64_t count = RowsOf(block);
  const int64_t more = std::min(kPrefetchRows, count_ - begin - count);
  StoredRows<kBlock + kPrefetchRows> stored;
  Locate(begin, count + more, stored.data());
  std::byte* kept = keeps() ? kept_ + begin * products_.row_bytes() : nullptr;
  std::byte* rows = keeps() && !products_.arranges() ? kept : panel;
  ExpandRows(stored.data(), count, more, 0, width, rows);
  if (keeps()) products_.Arrange(rows, width, count, width, kept);
  return rows;
}

RowProducts::Values CompressedRows::Arrange(const std::byte* const* stored, int64_t count,
                                            int64_t first, int64_t end, std::byte* panel,
                                            std::byte* space) const {
  const int64_t columns = end - first;
  if (!products_.arranges()) {
    ExpandRows(stored, count, 0, first, end, space);
    return {space, columns};
  }
  for (int64_t i = 0; i < count; i += kBlock) {
    const int64_t some = std::min(kBlock, count - i);
    ExpandRows(stored + i, some, std::min(kPrefetchRows, count - i - some), first, end, panel);
    products_.Arrange(panel, columns, some, columns,
                      space + i * columns * products_.element_bytes());
  }
  return {space, columns};
}

}  // namespace dsv
