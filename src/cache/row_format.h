// How one row is stored (spec 6.1, 12.1). In reference precision a row is packed without loss: its
// values are FP8 or FP4 values times powers of two. In f32 precision it is kept as floats.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/context.h"

namespace dsv {

class RowFormat {
 public:
  // A window row or a main compressed row of `width` components, the last `rotated` of them bf16
  // and the others E4M3 with one E8M0 scale for every 64: 448 + 7 + 1 (padding) + 128 = 584 bytes
  // for 512 components. The scales follow the E4M3 bytes.
  static RowFormat Main(Precision precision, int64_t width, int64_t rotated);
  // An indexer key: E2M1, two components in a byte, the first in the low half, then one E8M0 scale
  // for every 32: 64 + 4 = 68 bytes for 128 components.
  static RowFormat IndexKey(Precision precision, int64_t width);

  int64_t width() const { return width_; }
  int64_t bytes() const { return bytes_; }

  // row is [width], stored [bytes]. In reference precision the row must have gone through the
  // simulation of its format (spec 3.5, 3.6) and then comes back bit for bit.
  void Pack(const float* row, std::byte* stored) const;
  void Unpack(const Kernels& kernels, const std::byte* stored, float* row) const {
    UnpackPart(kernels, stored, 0, width_, row);
  }
  // Components [begin, end) of a window row or a main compressed row. Both are multiples of
  // kFp8SimulationBlock, or the end is that of the row.
  void UnpackPart(const Kernels& kernels, const std::byte* stored, int64_t begin, int64_t end,
                  float* values) const;
  // The same in bf16, exactly, in reference precision; zeros follow up to the next multiple of 32.
  void UnpackPart(const Bf16Kernels& kernels, const std::byte* stored, int64_t begin, int64_t end,
                  uint16_t* values) const;

 private:
  enum class Kind : uint8_t { kFloats, kMain, kIndexKey };
  RowFormat(Kind kind, int64_t width, int64_t rotated);

  Kind kind_;
  int64_t width_;
  int64_t rotated_;
  int64_t bytes_;
};

}  // namespace dsv
