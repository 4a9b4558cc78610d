// Stored elements to floats, over the lanes of simd_<isa>.h.
#pragma once

#include "kernels/kernel_table.h"
#include "tensor/number_formats.h"

namespace {

void ExpandBf16(const void* data, int64_t n, float* values) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Store(LoadBf16(bytes + 2 * i), values + i);
  for (; i < n; ++i) {
    uint16_t bits = 0;
    __builtin_memcpy(&bits, bytes + 2 * i, 2);
    values[i] = dsv::Bf16ToFloat(bits);
  }
}

void ExpandE4m3(const void* data, int64_t n, float scale, float* values) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  const Vec s = Broadcast(scale);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Store(Mul(LoadE4m3(bytes + i), s), values + i);
  for (; i < n; ++i) values[i] = dsv::E4m3ToFloat(bytes[i]) * scale;
}

void ExpandE2m1(const void* data, const void* scales, int64_t n, float* values) {
  constexpr int64_t kBlock = 32;
  const auto* bytes = static_cast<const uint8_t*>(data);
  for (int64_t block = 0; block < n / kBlock; ++block) {
    const Vec s = Broadcast(dsv::E8m0ToFloat(static_cast<const uint8_t*>(scales)[block]));
    for (int64_t i = block * kBlock; i < (block + 1) * kBlock; i += kLanes) {
      Store(Mul(LoadE2m1(bytes + i / 2), s), values + i);
    }
  }
}

// x <- b16(x)
void RoundToBf16InPlace(float* x, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Store(RoundLanesToBf16(Load(x + i)), x + i);
  for (; i < n; ++i) x[i] = dsv::RoundBf16(x[i]);
}

inline int64_t BlockIndex(const dsv::MatrixView& matrix, int64_t row, int64_t input) {
  const int64_t blocks = (matrix.in + dsv::kFp8Block - 1) / dsv::kFp8Block;
  return row / dsv::kFp8Block * blocks + input / dsv::kFp8Block;
}

inline float BlockScaleF32(const dsv::MatrixView& matrix, int64_t row, int64_t input) {
  return dsv::LoadUnaligned<float>(matrix.scale + BlockIndex(matrix, row, input) * 4);
}

inline float BlockScale(const dsv::MatrixView& matrix, int64_t row, int64_t input) {
  if (matrix.format == dsv::MatrixFormat::kFp8F32) return BlockScaleF32(matrix, row, input);
  return dsv::E8m0ToFloat(static_cast<uint8_t>(matrix.scale[BlockIndex(matrix, row, input)]));
}

// Inputs [begin, begin + count) of a row; `begin` is a multiple of 128. With `unscaled` the values
// of a kFp8F32 matrix come without their scale.
void ExpandRowPart(const dsv::MatrixView& matrix, int64_t row, int64_t begin, int64_t count,
                   bool unscaled, float* values) {
  const int64_t at = row * matrix.in + begin;
  switch (matrix.format) {
    case dsv::MatrixFormat::kF32:
      __builtin_memcpy(values, matrix.data + at * 4, static_cast<size_t>(count) * 4);
      return;
    case dsv::MatrixFormat::kBF16:
      return ExpandBf16(matrix.data + at * 2, count, values);
    case dsv::MatrixFormat::kFp4E8M0:
      return ExpandE2m1(matrix.data + at / 2, matrix.scale + at / dsv::kFp4Block, count, values);
    case dsv::MatrixFormat::kFp8E8M0:
    case dsv::MatrixFormat::kFp8F32:
      for (int64_t i = 0; i < count; i += dsv::kFp8Block) {
        const int64_t n = count - i < dsv::kFp8Block ? count - i : dsv::kFp8Block;
        const float scale = unscaled ? 1.0F : BlockScale(matrix, row, begin + i);
        ExpandE4m3(matrix.data + at + i, n, scale, values + i);
      }
  }
}

}  // namespace
