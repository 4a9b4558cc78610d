// RMS norms (spec 3.1, 4.4).
#pragma once

#include <cstdint>

#include "kernels/context.h"
#include "tensor/tensor_view.h"

namespace dsv {

// y = b16(w * (x * rho)), rho = 1 / sqrt(mean(x^2) + eps), for each of `rows` rows of w.size.
// y may be x.
void RmsNorm(const OpContext& context, const float* x, int64_t rows, const VectorView& weight,
             double eps, float* y);

// One row of RmsNorm; does not use threads.
void RmsNormRow(const OpContext& context, const float* x, const VectorView& weight, double eps,
                float* y);

// The norm of one query head without a weight, in place. In reference precision every step is a
// bf16 operation (spec 4.4).
void HeadNorm(const OpContext& context, float* q, int64_t n, double eps);

}  // namespace dsv
