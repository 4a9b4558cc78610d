#include "kernels/expand.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "tensor/number_formats.h"

namespace dsv {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// `scale_of(block)` gives the scale of 128 consecutive inputs.
template <class ScaleOf>
void ExpandFp8Row(const Kernels& kernels, const MatrixView& matrix, int64_t row,
                  const ScaleOf& scale_of, float* values) {
  const std::byte* data = matrix.data + row * matrix.in;
  for (int64_t begin = 0; begin < matrix.in; begin += kFp8Block) {
    const int64_t count = std::min(kFp8Block, matrix.in - begin);
    kernels.expand.e4m3(data + begin, count, scale_of(begin / kFp8Block), values + begin);
  }
}

}  // namespace

void ExpandRowUnscaled(const Kernels& kernels, const MatrixView& matrix, int64_t row,
                       float* values) {
  if (matrix.format != MatrixFormat::kFp8F32) return ExpandRow(kernels, matrix, row, values);
  kernels.expand.e4m3(matrix.data + row * matrix.in, matrix.in, 1.0F, values);
}

void BlockScales(const MatrixView& matrix, int64_t row, float* scales) {
  const int64_t blocks = CeilDiv(matrix.in, kFp8Block);
  std::memcpy(scales, matrix.scale + row / kFp8Block * blocks * 4, static_cast<size_t>(blocks) * 4);
}

void ExpandRow(const Kernels& kernels, const MatrixView& matrix, int64_t row, float* values) {
  DSV_DCHECK(row >= 0 && row < matrix.out);
  const int64_t first_scale = row / kFp8Block * CeilDiv(matrix.in, kFp8Block);
  const auto e8m0_scale = [&](int64_t block) {
    return E8m0ToFloat(static_cast<uint8_t>(matrix.scale[first_scale + block]));
  };
  const auto f32_scale = [&](int64_t block) {
    return LoadUnaligned<float>(matrix.scale + (first_scale + block) * 4);
  };
  switch (matrix.format) {
    case MatrixFormat::kF32:
      std::memcpy(values, matrix.data + row * matrix.in * 4, static_cast<size_t>(matrix.in) * 4);
      return;
    case MatrixFormat::kBF16:
      return kernels.expand.bf16(matrix.data + row * matrix.in * 2, matrix.in, values);
    case MatrixFormat::kFp8E8M0:
      return ExpandFp8Row(kernels, matrix, row, e8m0_scale, values);
    case MatrixFormat::kFp8F32:
      return ExpandFp8Row(kernels, matrix, row, f32_scale, values);
    case MatrixFormat::kFp4E8M0:
      return kernels.expand.e2m1(matrix.data + row * (matrix.in / 2),
                                 matrix.scale + row * (matrix.in / kFp4Block), matrix.in, values);
  }
}

std::vector<float> ExpandVector(const VectorView& vector) {
  DSV_CHECK(vector.dtype == DType::kF32 || vector.dtype == DType::kBF16);
  std::vector<float> values(static_cast<size_t>(vector.size));
  for (int64_t i = 0; i < vector.size; ++i) {
    values[static_cast<size_t>(i)] =
        vector.dtype == DType::kF32 ? LoadUnaligned<float>(vector.data + 4 * i)
                                    : Bf16ToFloat(LoadUnaligned<uint16_t>(vector.data + 2 * i));
  }
  return values;
}

}  // namespace dsv
