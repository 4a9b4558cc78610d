#include "cache/row_store.h"

#include <cstring>

#include "base/check.h"
#include "tensor/number_formats.h"

namespace dsv {
namespace {

constexpr int64_t kRowsPerExtent = 256;

}  // namespace

int64_t PackedRowBytes(Precision precision, int64_t width) {
  return width * (precision == Precision::kReference ? 2 : 4);
}

void PackRow(Precision precision, const float* row, int64_t width, std::byte* stored) {
  if (precision == Precision::kF32) {
    std::memcpy(stored, row, static_cast<size_t>(width) * 4);
    return;
  }
  for (int64_t i = 0; i < width; ++i) {
    const uint16_t bits = FloatToBf16(row[i]);
    std::memcpy(stored + 2 * i, &bits, 2);
  }
}

void UnpackRow(Precision precision, const std::byte* stored, int64_t width, float* row) {
  if (precision == Precision::kF32) {
    std::memcpy(row, stored, static_cast<size_t>(width) * 4);
    return;
  }
  for (int64_t i = 0; i < width; ++i) row[i] = Bf16ToFloat(LoadUnaligned<uint16_t>(stored + 2 * i));
}

int64_t RowStore::RowBytes() const { return PackedRowBytes(precision_, width_); }

int64_t RowStore::Bytes() const { return size_ * RowBytes(); }

void RowStore::Append(const float* row) {
  if (size_ == static_cast<int64_t>(extents_.size()) * kRowsPerExtent) {
    extents_.push_back(
        std::make_unique<std::byte[]>(static_cast<size_t>(kRowsPerExtent * RowBytes())));
  }
  PackRow(precision_, row, width_, extents_.back().get() + size_ % kRowsPerExtent * RowBytes());
  ++size_;
}

void RowStore::Read(int64_t begin, int64_t count, float* out) const {
  DSV_DCHECK(begin >= 0 && begin + count <= size_);
  for (int64_t i = begin; i < begin + count; ++i, out += width_) {
    const std::byte* extent = extents_[static_cast<size_t>(i / kRowsPerExtent)].get();
    UnpackRow(precision_, extent + i % kRowsPerExtent * RowBytes(), width_, out);
  }
}

}  // namespace dsv
