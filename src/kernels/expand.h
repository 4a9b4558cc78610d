// Stored weights to floats, exactly: every product of a narrow value and a power-of-two scale fits
// a float (spec 2.4).
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernel_table.h"
#include "tensor/tensor_view.h"

namespace dsv {

// Row `row` with its scales multiplied in: [in]. For kFp8F32 that product is rounded to float once.
void ExpandRow(const Kernels& kernels, const MatrixView& matrix, int64_t row, float* values);

std::vector<float> ExpandVector(const VectorView& vector);

}  // namespace dsv
