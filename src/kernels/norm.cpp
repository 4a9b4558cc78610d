#include "kernels/norm.h"

#include <cmath>
#include <vector>

#include "kernels/expand.h"
#include "tensor/number_formats.h"

namespace dsv {

float InverseRms(const OpContext& context, const float* x, int64_t n, double eps) {
  const float mean = context.kernels.rows.sum_of_squares(x, n) / static_cast<float>(n);
  return 1.0F / std::sqrt(mean + static_cast<float>(eps));
}

void RmsNormRow(const OpContext& context, const float* x, const std::vector<float>& w, double eps,
                float* y) {
  const float rho = InverseRms(context, x, static_cast<int64_t>(w.size()), eps);
  for (size_t i = 0; i < w.size(); ++i) y[i] = w[i] * (x[i] * rho);
  if (!context.reference()) return;
  for (size_t i = 0; i < w.size(); ++i) y[i] = RoundBf16(y[i]);
}

void RmsNorm(const OpContext& context, const float* x, int64_t rows, const VectorView& weight,
             double eps, float* y) {
  const OperationTimer timer(context, &OperationCounts::norm_ns);
  const int64_t n = weight.size;
  const std::vector<float> w = ExpandVector(weight);
  context.pool.ParallelFor(
      rows, [&](int64_t row, int64_t) { RmsNormRow(context, x + row * n, w, eps, y + row * n); });
}

void HeadNorm(const OpContext& context, float* q, int64_t n, double eps) {
  if (!context.reference()) {
    const float rho = InverseRms(context, q, n, eps);
    for (int64_t i = 0; i < n; ++i) q[i] *= rho;
    return;
  }
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += RoundBf16(q[i] * q[i]);
  const float mean = RoundBf16(sum / static_cast<float>(n));
  const float shifted = RoundBf16(mean + static_cast<float>(eps));
  const float scale = RoundBf16(1.0F / std::sqrt(shifted));
  for (int64_t i = 0; i < n; ++i) q[i] = RoundBf16(q[i] * scale);
}

}  // namespace dsv
