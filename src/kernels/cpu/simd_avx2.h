// Eight lanes of AVX2 with FMA. See simd_avx512.h for the interface that kernels-inl.h needs.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace {

constexpr int64_t kLanes = 8;

using Vec = __m256;

inline __m256i MaskOf(int64_t count) {
  const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), index);
}

inline Vec Zero() { return _mm256_setzero_ps(); }

inline Vec Broadcast(float value) { return _mm256_set1_ps(value); }

inline Vec Load(const float* data) { return _mm256_loadu_ps(data); }

inline Vec LoadPartial(const float* data, int64_t count) {
  return _mm256_maskload_ps(data, MaskOf(count));
}

inline void Store(Vec v, float* data) { _mm256_storeu_ps(data, v); }

inline void StorePartial(Vec v, float* data, int64_t count) {
  _mm256_maskstore_ps(data, MaskOf(count), v);
}

inline Vec Mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }

inline Vec Add(Vec a, Vec b) { return _mm256_add_ps(a, b); }

inline Vec MulAdd(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }

inline Vec Sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }

inline Vec Div(Vec a, Vec b) { return _mm256_div_ps(a, b); }

inline Vec Sqrt(Vec v) { return _mm256_sqrt_ps(v); }

inline Vec Max(Vec a, Vec b) { return _mm256_max_ps(a, b); }

inline Vec Min(Vec a, Vec b) { return _mm256_min_ps(a, b); }

// In two steps, because 2^n need not be a normal float; only the second rounds.
inline Vec TimesPowerOfTwo(Vec v, Vec n) {
  const __m256i exponent = _mm256_cvtps_epi32(n);
  const __m256i first = _mm256_srai_epi32(exponent, 1);
  const __m256i second = _mm256_sub_epi32(exponent, first);
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256i scale = _mm256_slli_epi32(_mm256_add_epi32(first, bias), 23);
  const __m256i rest = _mm256_slli_epi32(_mm256_add_epi32(second, bias), 23);
  return _mm256_mul_ps(_mm256_mul_ps(v, _mm256_castsi256_ps(scale)), _mm256_castsi256_ps(rest));
}

template <int64_t kDistance>
inline Vec ExchangeLanes(Vec v) {
  static_assert(kDistance == 1 || kDistance == 2 || kDistance == 4);
  if constexpr (kDistance == 1) return _mm256_permute_ps(v, 0xB1);
  if constexpr (kDistance == 2) return _mm256_permute_ps(v, 0x4E);
  if constexpr (kDistance == 4) return _mm256_permute2f128_ps(v, v, 1);
}

inline Vec Relu(Vec v) { return _mm256_max_ps(Zero(), v); }

inline float Sum(Vec v) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

inline Vec RoundLanesToBf16(Vec v) {
  const __m256i bits = _mm256_castps_si256(v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i up = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7FFF)), odd);
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x00400000));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  const __m256i rounded = _mm256_blendv_epi8(up, quiet, nan);
  return _mm256_castsi256_ps(
      _mm256_and_si256(rounded, _mm256_set1_epi32(static_cast<int>(0xFFFF0000U))));
}

using Ints = __m256i;

inline Ints BitsOf(Vec v) { return _mm256_castps_si256(v); }

inline Vec FloatOfBits(Ints v) { return _mm256_castsi256_ps(v); }

inline Ints And(Ints a, Ints b) { return _mm256_and_si256(a, b); }

inline Ints Or(Ints a, Ints b) { return _mm256_or_si256(a, b); }

inline Ints AddInts(Ints a, Ints b) { return _mm256_add_epi32(a, b); }

inline Ints MaxInts(Ints a, Ints b) { return _mm256_max_epi32(a, b); }

inline Ints BroadcastInt(int32_t value) { return _mm256_set1_epi32(value); }

inline Ints LoadInts(const void* data) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(data));
}

inline Vec ToFloat(Ints v) { return _mm256_cvtepi32_ps(v); }

// The pair sums stay below 2^15: neither operand of the kernels is above 24 in magnitude.
inline Ints DotBytes(Ints sum, Ints u, Ints s) {
  const Ints pairs = _mm256_maddubs_epi16(u, s);
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

inline Ints GatherBytes(const uint8_t* rows, int64_t stride, int64_t count, int64_t offset) {
  const Ints lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const Ints row = _mm256_min_epi32(lane, BroadcastInt(static_cast<int>(count - 1)));
  const Ints index = _mm256_mullo_epi32(row, BroadcastInt(static_cast<int>(stride)));
  return _mm256_i32gather_epi32(reinterpret_cast<const int*>(rows + offset), index, 1);
}

inline Ints LookUpNibbles(Ints bytes, bool upper, const uint8_t* table) {
  const __m128i pattern =
      upper ? _mm_setr_epi8(2, 2, 3, 3, 6, 6, 7, 7, 10, 10, 11, 11, 14, 14, 15, 15)
            : _mm_setr_epi8(0, 0, 1, 1, 4, 4, 5, 5, 8, 8, 9, 9, 12, 12, 13, 13);
  const Ints pairs = _mm256_shuffle_epi8(bytes, _mm256_broadcastsi128_si256(pattern));
  const Ints low = _mm256_and_si256(pairs, _mm256_set1_epi16(0x000F));
  const Ints high = _mm256_and_si256(_mm256_srli_epi16(pairs, 4), _mm256_set1_epi16(0x0F00));
  const __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(entries), _mm256_or_si256(low, high));
}

inline void StoreInts(Ints v, void* data) { _mm256_storeu_si256(static_cast<__m256i*>(data), v); }

inline Vec LoadBf16(const void* data) {
  const __m128i bits = _mm_loadu_si128(static_cast<const __m128i*>(data));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

inline Vec LoadE4m3(const void* data) {
  const __m256i byte = _mm256_cvtepu8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(data)));
  const __m256i magnitude = _mm256_and_si256(byte, _mm256_set1_epi32(0x7F));
  const __m256i sign = _mm256_slli_epi32(_mm256_and_si256(byte, _mm256_set1_epi32(0x80)), 24);
  const __m256i normal =
      _mm256_add_epi32(_mm256_slli_epi32(magnitude, 20), _mm256_set1_epi32(120 << 23));
  const __m256i subnormal =
      _mm256_castps_si256(_mm256_mul_ps(_mm256_cvtepi32_ps(magnitude), _mm256_set1_ps(0x1p-9F)));
  __m256i bits =
      _mm256_blendv_epi8(normal, subnormal, _mm256_cmpgt_epi32(_mm256_set1_epi32(8), magnitude));
  bits = _mm256_blendv_epi8(bits, _mm256_set1_epi32(0x7FC00000),
                            _mm256_cmpeq_epi32(magnitude, _mm256_set1_epi32(0x7F)));
  return _mm256_castsi256_ps(_mm256_or_si256(bits, sign));
}

inline Vec LoadE2m1(const void* data) {
  const __m256 table = _mm256_setr_ps(0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F);
  int32_t bytes = 0;
  __builtin_memcpy(&bytes, data, 4);
  const __m128i pair = _mm_cvtepu8_epi16(_mm_cvtsi32_si128(bytes));
  const __m256i code = _mm256_cvtepu8_epi32(
      _mm_and_si128(_mm_or_si128(pair, _mm_slli_epi16(pair, 4)), _mm_set1_epi8(15)));
  const __m256i sign = _mm256_slli_epi32(_mm256_and_si256(code, _mm256_set1_epi32(8)), 28);
  return _mm256_or_ps(_mm256_permutevar8x32_ps(table, code), _mm256_castsi256_ps(sign));
}

}  // namespace
