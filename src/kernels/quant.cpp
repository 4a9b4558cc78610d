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

// `x` and `rounded` may be the same row.
void RoundFp8Block(const float* x, int64_t n, float scale, float* rounded) {
  const float inverse = 1.0F / scale;
  for (int64_t i = 0; i < n; ++i) {
    const float clamped = std::min(std::max(x[i] * inverse, -kE4m3Max), kE4m3Max);
    rounded[i] = RoundE4m3(clamped) * scale;
  }
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

void QuantizeActivation(const float* x, int64_t n, float* quantized) {
  for (int64_t begin = 0; begin < n; begin += kFp8Block) {
    const int64_t count = std::min(kFp8Block, n - begin);
    RoundFp8Block(x + begin, count, Fp8Scale(x + begin, count), quantized + begin);
  }
}

void SimulateFp8(float* x, int64_t n) {
  for (int64_t begin = 0; begin < n; begin += kFp8SimulationBlock) {
    const int64_t count = std::min(kFp8SimulationBlock, n - begin);
    RoundFp8Block(x + begin, count, Fp8Scale(x + begin, count), x + begin);
  }
}

void SimulateFp4(float* x, int64_t n) {
  for (int64_t begin = 0; begin < n; begin += kFp4Block) {
    const int64_t count = std::min(kFp4Block, n - begin);
    const float scale = Fp4Scale(x + begin, count);
    const float inverse = 1.0F / scale;
    for (int64_t i = begin; i < begin + count; ++i) {
      const float clamped = std::min(std::max(x[i] * inverse, -kE2m1Max), kE2m1Max);
      x[i] = RoundE2m1(clamped) * scale;
    }
  }
}

}  // namespace dsv
