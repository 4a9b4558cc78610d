#include "kernels/cpu/peak_avx512.h"

namespace dsv {
namespace {

float Int8(int64_t rounds) {
  const __m512i a = _mm512_set1_epi8(1);
  __m512i sum[kSums];
  for (__m512i& s : sum) s = a;
  for (int64_t i = 0; i < rounds; ++i) {
    for (__m512i& s : sum) s = _mm512_dpbusd_epi32(s, a, a);
  }
  return FoldSums(sum);
}

}  // namespace

const PeakKernels kAvx512VnniPeaks{"avx512vnni", nullptr, {}, {}, {Int8, kSums * 64 * 2}};

}  // namespace dsv
