#include "cache/row_format.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernels/quant.h"
#include "tensor/number_formats.h"
#include "tensor/tensor_view.h"

namespace dsv {
namespace {

constexpr int64_t kAlignment = 8;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Where the rotated components begin.
int64_t RotatedOffset(int64_t plain) {
  return CeilDiv(plain + CeilDiv(plain, kFp8SimulationBlock), kAlignment) * kAlignment;
}

void PackMain(const float* row, int64_t plain, int64_t rotated, std::byte* stored) {
  std::byte* scale_byte = stored + plain;
  for (int64_t begin = 0; begin < plain; begin += kFp8SimulationBlock) {
    const int64_t end = std::min(begin + kFp8SimulationBlock, plain);
    const float scale = Fp8Scale(row + begin, end - begin);
    const float inverse = 1.0F / scale;
    for (int64_t i = begin; i < end; ++i) stored[i] = std::byte{E4m3FromExact(row[i] * inverse)};
    *scale_byte++ = std::byte{E8m0FromExact(scale)};
  }
  std::byte* values = stored + RotatedOffset(plain);
  std::fill(scale_byte, values, std::byte{0});
  for (int64_t i = 0; i < rotated; ++i) {
    const uint16_t bits = FloatToBf16(row[plain + i]);
    std::memcpy(values + 2 * i, &bits, 2);
  }
}

void PackIndexKey(const float* row, int64_t width, std::byte* stored) {
  for (int64_t begin = 0; begin < width; begin += kFp4Block) {
    const int64_t end = std::min(begin + kFp4Block, width);
    const float scale = Fp4Scale(row + begin, end - begin);
    const float inverse = 1.0F / scale;
    for (int64_t i = begin; i < end; i += 2) {
      const uint8_t low = E2m1FromExact(row[i] * inverse);
      const uint8_t high = E2m1FromExact(row[i + 1] * inverse);
      stored[i / 2] = std::byte(low | high << 4);
    }
    stored[width / 2 + begin / kFp4Block] = std::byte{E8m0FromExact(scale)};
  }
}

}  // namespace

RowFormat::RowFormat(Kind kind, int64_t width, int64_t rotated)
    : kind_(kind), width_(width), rotated_(rotated) {
  switch (kind) {
    case Kind::kFloats:
      bytes_ = 4 * width;
      break;
    case Kind::kMain:
      bytes_ = CeilDiv(RotatedOffset(width - rotated) + 2 * rotated, kAlignment) * kAlignment;
      break;
    case Kind::kIndexKey:
      bytes_ = width / 2 + CeilDiv(width, kFp4Block);
      break;
  }
}

RowFormat RowFormat::Main(Precision precision, int64_t width, int64_t rotated) {
  return {precision == Precision::kF32 ? Kind::kFloats : Kind::kMain, width, rotated};
}

RowFormat RowFormat::IndexKey(Precision precision, int64_t width) {
  return {precision == Precision::kF32 ? Kind::kFloats : Kind::kIndexKey, width, 0};
}

void RowFormat::Pack(const float* row, std::byte* stored) const {
  switch (kind_) {
    case Kind::kFloats:
      std::memcpy(stored, row, static_cast<size_t>(bytes_));
      break;
    case Kind::kMain:
      PackMain(row, width_ - rotated_, rotated_, stored);
      break;
    case Kind::kIndexKey:
      PackIndexKey(row, width_, stored);
      break;
  }
}

void RowFormat::UnpackPart(const Kernels& kernels, const std::byte* stored, int64_t begin,
                           int64_t end, float* values) const {
  if (kind_ == Kind::kFloats) {
    std::memcpy(values, stored + 4 * begin, static_cast<size_t>(4 * (end - begin)));
    return;
  }
  if (kind_ == Kind::kIndexKey) {
    DSV_DCHECK(begin == 0 && end == width_);
    kernels.expand.e2m1(stored, stored + width_ / 2, width_, values);
    return;
  }
  const int64_t plain = width_ - rotated_;
  for (int64_t i = begin; i < std::min(end, plain); i += kFp8SimulationBlock) {
    const int64_t count = std::min({kFp8SimulationBlock, end - i, plain - i});
    const std::byte scale = stored[plain + i / kFp8SimulationBlock];
    kernels.expand.e4m3(stored + i, count, E8m0ToFloat(static_cast<uint8_t>(scale)),
                        values + i - begin);
  }
  if (end <= plain) return;
  const int64_t i = std::max(begin, plain);
  kernels.expand.bf16(stored + RotatedOffset(plain) + 2 * (i - plain), end - i, values + i - begin);
}

void RowFormat::UnpackPart(const Bf16Kernels& kernels, const std::byte* stored, int64_t begin,
                           int64_t end, uint16_t* values) const {
  DSV_DCHECK(kind_ == Kind::kMain);
  const int64_t plain = width_ - rotated_;
  if (begin < plain) {
    const auto* scales = reinterpret_cast<const uint8_t*>(stored + plain);
    kernels.expand_e4m3_blocks(stored + begin, scales + begin / kFp8SimulationBlock,
                               std::min(end, plain) - begin, SharedBf16Tables(), values);
  }
  if (end <= plain) return;
  const int64_t i = std::max(begin, plain);
  kernels.copy_bf16(stored + RotatedOffset(plain) + 2 * (i - plain), end - i, values + i - begin);
}

}  // namespace dsv
