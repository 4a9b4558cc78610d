// Stored weights to floats, exactly: every product of a narrow value and a power-of-two scale fits
// a float (spec 2.4).
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernel_table.h"
#include "tensor/tensor_view.h"

namespace dsv {

// Row `row` with its scales multiplied in: [in]. For kFp8F32 that product is rounded to float once;
// kernels that keep the scale apart use ExpandRowUnscaled.
void ExpandRow(const Kernels& kernels, const MatrixView& matrix, int64_t row, float* values);

// As ExpandRow for every format but kFp8F32, whose bare E4M3 values are returned.
void ExpandRowUnscaled(const Kernels& kernels, const MatrixView& matrix, int64_t row,
                       float* values);

// The F32 scales of the blocks of `row`: [ceil(in/128)]; the matrix is kFp8F32.
void BlockScales(const MatrixView& matrix, int64_t row, float* scales);

std::vector<float> ExpandVector(const VectorView& vector);

}  // namespace dsv
