#include "kernels/hadamard.h"

#include <cmath>

#include "tensor/number_formats.h"

namespace dsv {

void Hadamard(const OpContext& context, float* x, int64_t n) {
  for (int64_t half = 1; half < n; half *= 2) {
    for (int64_t begin = 0; begin < n; begin += 2 * half) {
      for (int64_t i = begin; i < begin + half; ++i) {
        const float a = x[i];
        const float b = x[i + half];
        x[i] = a + b;
        x[i + half] = a - b;
      }
    }
  }
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(n)));
  for (int64_t i = 0; i < n; ++i) {
    x[i] *= scale;
    if (context.reference()) x[i] = RoundBf16(x[i]);
  }
}

}  // namespace dsv
