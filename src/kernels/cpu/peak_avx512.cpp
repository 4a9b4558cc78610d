#include "kernels/cpu/peak_avx512.h"
// The lanes come first: peak-inl.h is written over them.
#include "kernels/cpu/peak-inl.h"

namespace dsv {
namespace {

float Fp32(int64_t rounds) {
  const __m512 a = _mm512_set1_ps(0.5F);
  __m512 sum[kSums];
  for (__m512& s : sum) s = a;
  for (int64_t i = 0; i < rounds; ++i) {
    for (__m512& s : sum) s = _mm512_fmadd_ps(s, a, a);
  }
  return FoldSums(sum);
}

// Pairs of bytes to 16 bits and pairs of those to 32.
float Int8(int64_t rounds) {
  const __m512i ones = _mm512_set1_epi16(1);
  __m512i sum[kSums];
  for (__m512i& s : sum) s = ones;
  for (int64_t i = 0; i < rounds; ++i) {
    for (__m512i& s : sum) {
      s = _mm512_add_epi32(s, _mm512_madd_epi16(_mm512_maddubs_epi16(s, ones), ones));
    }
  }
  return FoldSums(sum);
}

}  // namespace

const PeakKernels kAvx512Peaks{"avx512", Read, {Fp32, kSums * 16 * 2}, {}, {Int8, kSums * 64 * 2}};

}  // namespace dsv
