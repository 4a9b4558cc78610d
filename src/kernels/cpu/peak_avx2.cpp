#include <immintrin.h>

#include <cstdint>

#include "kernels/peaks.h"

namespace dsv {
namespace {

using Lanes = __m256i;
constexpr int64_t kLaneBytes = 32;
Lanes Load(const void* p) { return _mm256_load_si256(static_cast<const __m256i*>(p)); }
Lanes Add(Lanes a, Lanes b) { return _mm256_add_epi64(a, b); }
uint64_t Fold(Lanes a) {
  const __m128i half = _mm_add_epi64(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
  return static_cast<uint64_t>(_mm_cvtsi128_si64(half) + _mm_extract_epi64(half, 1));
}

// Two units with a latency of up to five cycles are kept busy by ten sums.
constexpr int kSums = 12;

float Fp32(int64_t rounds) {
  const __m256 a = _mm256_set1_ps(0.5F);
  __m256 sum[kSums];
  for (__m256& s : sum) s = a;
  for (int64_t i = 0; i < rounds; ++i) {
    for (__m256& s : sum) s = _mm256_fmadd_ps(s, a, a);
  }
  for (const __m256& s : sum) sum[0] = _mm256_add_ps(sum[0], s);
  return _mm256_cvtss_f32(sum[0]);
}

// Pairs of bytes to 16 bits and pairs of those to 32: what AVX2 has for a dot product of bytes.
float Int8(int64_t rounds) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i sum[kSums];
  for (__m256i& s : sum) s = ones;
  for (int64_t i = 0; i < rounds; ++i) {
    for (__m256i& s : sum) {
      s = _mm256_add_epi32(s, _mm256_madd_epi16(_mm256_maddubs_epi16(s, ones), ones));
    }
  }
  for (const __m256i& s : sum) sum[0] = _mm256_add_epi32(sum[0], s);
  return static_cast<float>(_mm256_cvtsi256_si32(sum[0]));
}

}  // namespace
}  // namespace dsv

#include "kernels/cpu/peak-inl.h"

namespace dsv {

const PeakKernels kAvx2Peaks{"avx2", Read, {Fp32, kSums * 8 * 2}, {}, {Int8, kSums * 32 * 2}};

}  // namespace dsv
