// Append-only rows of one layer: compressed rows or indexer keys (design.md section 3).
//
// Rows lie in extents of a fixed number of rows that never move. In reference precision a row is
// kept as bf16, which holds every stored value exactly; in f32 precision as floats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/context.h"

namespace dsv {

class RowStore {
 public:
  RowStore(int64_t width, Precision precision) : width_(width), precision_(precision) {}

  int64_t size() const { return size_; }
  int64_t width() const { return width_; }
  int64_t Bytes() const;  // of the stored rows, without unused space of the last extent

  void Append(const float* row);                              // [width]
  void Read(int64_t begin, int64_t count, float* out) const;  // [count, width]

 private:
  int64_t RowBytes() const;

  int64_t width_;
  Precision precision_;
  int64_t size_ = 0;
  std::vector<std::unique_ptr<std::byte[]>> extents_;
};

// Converts one row between floats and its stored form.
void PackRow(Precision precision, const float* row, int64_t width, std::byte* stored);
void UnpackRow(Precision precision, const std::byte* stored, int64_t width, float* row);
int64_t PackedRowBytes(Precision precision, int64_t width);

}  // namespace dsv
