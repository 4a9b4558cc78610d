// Lanes of 64 bytes and the loop over sums that the AVX-512 peak files share.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/peaks.h"

namespace dsv {
namespace {

using Lanes = __m512i;
constexpr int64_t kLaneBytes = 64;
inline Lanes Load(const void* p) { return _mm512_load_si512(p); }
inline Lanes Add(Lanes a, Lanes b) { return _mm512_add_epi64(a, b); }
// Through memory: the reductions of g++ 12 warn about an undefined operand.
inline uint64_t Fold(Lanes a) {
  alignas(64) uint64_t parts[8];
  _mm512_store_si512(parts, a);
  return parts[0] + parts[1] + parts[2] + parts[3] + parts[4] + parts[5] + parts[6] + parts[7];
}

// Two units with a latency of up to six cycles are kept busy by twelve sums.
constexpr int kSums = 12;

inline float FoldSums(const __m512* sums) {
  __m512 all = sums[0];
  for (int i = 1; i < kSums; ++i) all = _mm512_add_ps(all, sums[i]);
  return _mm512_cvtss_f32(all);
}
inline float FoldSums(const __m512i* sums) {
  __m512i all = sums[0];
  for (int i = 1; i < kSums; ++i) all = _mm512_add_epi32(all, sums[i]);
  return static_cast<float>(Fold(all) & 0xFFFF);
}

}  // namespace
}  // namespace dsv
