// Segments, and what in them is dead.
#include "store/store_index.h"

namespace dsv {

Status StoreIndex::SetSegment(const SegmentRow& row) {
  return Change("INSERT OR REPLACE INTO segment VALUES(?, ?)", row.id, row.bytes);
}

Status StoreIndex::RemoveSegment(int64_t id) {
  DSV_TRY(Change("DELETE FROM dead WHERE segment = ?", id));
  return Change("DELETE FROM segment WHERE id = ?", id);
}

Result<std::vector<SegmentRow>> StoreIndex::Segments() {
  std::vector<SegmentRow> segments;
  DSV_TRY(database_.Each("SELECT id, bytes FROM segment ORDER BY id", [&](const Row& row) {
    segments.push_back({row.Int(0), row.Int(1)});
    return true;
  }));
  return segments;
}

Result<bool> StoreIndex::HasBlocks(int64_t segment) {
  DSV_ASSIGN(const int64_t found,
             database_.Number("SELECT 1 FROM block WHERE segment = ? LIMIT 1", segment));
  return found != 0;
}

Result<std::vector<DeadRange>> StoreIndex::DeadRanges(int64_t segment) {
  std::vector<DeadRange> ranges;
  DSV_TRY(database_.Each(
      "SELECT segment, offset, bytes, returned FROM dead WHERE segment = ? ORDER BY offset",
      [&](const Row& row) {
        ranges.push_back({row.Int(0), row.Int(1), row.Int(2), row.Int(3) != 0});
        return true;
      },
      segment));
  return ranges;
}

Status StoreIndex::AddDead(const DeadRange& range) {
  return Change("INSERT OR REPLACE INTO dead VALUES(?, ?, ?, ?)", range.segment, range.offset,
                range.bytes, range.is_returned ? 1 : 0);
}

Result<std::vector<int64_t>> StoreIndex::SegmentsToReturn() {
  std::vector<int64_t> segments;
  DSV_TRY(
      database_.Each("SELECT DISTINCT segment FROM dead WHERE returned = 0", [&](const Row& row) {
        segments.push_back(row.Int(0));
        return true;
      }));
  return segments;
}

}  // namespace dsv
