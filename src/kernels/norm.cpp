#include "kernels/norm.h"

#include "base/check.h"
#include "kernels/for_rows.h"

namespace dsv {

void RmsNormRow(const OpContext& context, const float* x, const VectorView& weight, double eps,
                float* y) {
  DSV_DCHECK(weight.dtype == DType::kF32 || weight.dtype == DType::kBF16);
  context.kernels.rows.rms_norm({.x = x,
                                 .n = weight.size,
                                 .weight = weight.data,
                                 .bf16_weight = weight.dtype == DType::kBF16,
                                 .eps = static_cast<float>(eps),
                                 .round = context.reference(),
                                 .y = y});
}

void RmsNorm(const OpContext& context, const float* x, int64_t rows, const VectorView& weight,
             double eps, float* y) {
  const OperationTimer timer(context, &OperationCounts::norm_ns);
  const int64_t n = weight.size;
  ForRows(context, rows, n,
          [&](int64_t row) { RmsNormRow(context, x + row * n, weight, eps, y + row * n); });
}

void HeadNorm(const OpContext& context, float* q, int64_t n, double eps) {
  context.kernels.rows.head_norm(q, n, static_cast<float>(eps), context.reference());
}

}  // namespace dsv
