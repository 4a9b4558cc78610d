#include "kernels/cpu/peak_avx512.h"

namespace dsv {
namespace {

float Bf16(int64_t rounds) {
  const __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.5F), _mm512_set1_ps(0.5F));
  __m512 sum[kSums];
  for (__m512& s : sum) s = _mm512_set1_ps(1.0F);
  for (int64_t i = 0; i < rounds; ++i) {
    for (__m512& s : sum) s = _mm512_dpbf16_ps(s, a, a);
  }
  return FoldSums(sum);
}

}  // namespace

const PeakKernels kAvx512Bf16Peaks{"avx512bf16", nullptr, {}, {Bf16, kSums * 32 * 2}, {}};

}  // namespace dsv
