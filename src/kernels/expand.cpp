#include "kernels/expand.h"

#include "base/check.h"
#include "tensor/number_formats.h"

namespace dsv {

void ExpandRow(const Kernels& kernels, const MatrixView& matrix, int64_t row, float* values) {
  DSV_DCHECK(row >= 0 && row < matrix.out);
  kernels.expand.row_part(matrix, row, 0, matrix.in, /*unscaled=*/false, values);
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
