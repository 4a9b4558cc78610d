// The window rows of the last W positions of one layer; slot = position mod W (spec 6.1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "cache/row_format.h"

namespace dsv {

class WindowRing {
 public:
  WindowRing(int64_t window, const RowFormat& format)
      : window_(window), format_(format), bytes_(static_cast<size_t>(window * format.bytes())) {}

  void Write(int64_t position, const float* row) {
    format_.Pack(row, bytes_.data() + Offset(position));
  }
  const RowFormat& format() const { return format_; }
  const std::byte* Stored(int64_t position) const { return bytes_.data() + Offset(position); }
  // The slots as they are stored, to be saved and restored.
  std::span<std::byte> stored() { return bytes_; }
  std::span<const std::byte> stored() const { return bytes_; }

 private:
  int64_t Offset(int64_t position) const { return position % window_ * format_.bytes(); }

  int64_t window_;
  RowFormat format_;
  std::vector<std::byte> bytes_;
};

}  // namespace dsv
