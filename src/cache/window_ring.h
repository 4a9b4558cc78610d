// The window rows of the last W positions of one layer; slot = position mod W (spec 6.1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cache/row_store.h"

namespace dsv {

class WindowRing {
 public:
  WindowRing(int64_t window, int64_t width, Precision precision)
      : window_(window),
        width_(width),
        precision_(precision),
        bytes_(static_cast<size_t>(window * PackedRowBytes(precision, width))) {}

  void Write(int64_t position, const float* row) {
    PackRow(precision_, row, width_, bytes_.data() + Offset(position));
  }
  void Read(int64_t position, float* row) const {
    UnpackRow(precision_, bytes_.data() + Offset(position), width_, row);
  }
  int64_t Bytes() const { return static_cast<int64_t>(bytes_.size()); }

 private:
  int64_t Offset(int64_t position) const {
    return position % window_ * PackedRowBytes(precision_, width_);
  }

  int64_t window_;
  int64_t width_;
  Precision precision_;
  std::vector<std::byte> bytes_;
};

}  // namespace dsv
