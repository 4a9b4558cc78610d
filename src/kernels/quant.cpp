#include "kernels/quant.h"

#include <algorithm>
#include <cmath>

#include "tensor/number_formats.h"
#include "tensor/tensor_view.h"

namespace dsv {
namespace {

float AbsMax(const float* x, int64_t n) {
  float max = 0;
  for (int64_t i = 0; i < n; ++i) max = std::max(max, std::fabs(x[i]));
  return max;
}

}  // namespace

float Fp8Scale(const float* x, int64_t n) {
  return PowerOfTwoCeil(std::max(AbsMax(x, n), 1e-4F) * (1.0F / kE4m3Max));
}

float Fp4Scale(const float* x, int64_t n) {
  const float max = std::max(AbsMax(x, n), 0x1.8p-124F);  // 6 * 2^-126
  return PowerOfTwoCeil(max * (1.0F / kE2m1Max));
}

void RoundBf16Row(float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = RoundBf16(x[i]);
}

void ActivationScales(const float* x, int64_t n, float* scales) {
  for (int64_t begin = 0; begin < n; begin += kFp8Block) {
    *scales++ = Fp8Scale(x + begin, std::min(kFp8Block, n - begin));
  }
}

void QuantizeActivation(const Kernels& kernels, const float* x, int64_t n, float* quantized) {
  kernels.quant.fp8(x, n, kFp8Block, quantized);
}

void SimulateFp8(const Kernels& kernels, float* x, int64_t n) {
  kernels.quant.fp8(x, n, kFp8SimulationBlock, x);
}

void SimulateFp4(const Kernels& kernels, float* x, int64_t n) {
  kernels.quant.fp4(x, n, kFp4Block, x);
}

}  // namespace dsv
