#include "kernels/sinkhorn.h"

#include <algorithm>
#include <cmath>

namespace dsv {
namespace {

void SoftmaxRows(float* a, int64_t n, float eps) {
  for (float* row = a; row < a + n * n; row += n) {
    const float max = *std::max_element(row, row + n);
    float sum = 0;
    for (int64_t k = 0; k < n; ++k) sum += row[k] = std::exp(row[k] - max);
    for (int64_t k = 0; k < n; ++k) row[k] = row[k] / sum + eps;
  }
}

// Divides the n elements at a, a + stride, ... by their sum plus eps.
void Normalize(float* a, int64_t n, int64_t stride, float eps) {
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i * stride];
  for (int64_t i = 0; i < n; ++i) a[i * stride] /= sum + eps;
}

}  // namespace

void Sinkhorn(float* a, int64_t n, int64_t iterations, double eps) {
  const auto e = static_cast<float>(eps);
  SoftmaxRows(a, n, e);
  for (int64_t column = 0; column < n; ++column) Normalize(a + column, n, n, e);
  for (int64_t i = 1; i < iterations; ++i) {
    for (int64_t row = 0; row < n; ++row) Normalize(a + row * n, n, 1, e);
    for (int64_t column = 0; column < n; ++column) Normalize(a + column, n, n, e);
  }
}

}  // namespace dsv
