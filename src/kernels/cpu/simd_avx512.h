// Sixteen lanes of AVX-512F. Every simd_<isa>.h defines the same names: kLanes, Vec, Zero,
// Broadcast, Load and Store (of kLanes floats without alignment), LoadPartial (missing lanes are 0)
// and StorePartial for 0 < count < kLanes, Add, Sub, Mul, Div, Sqrt, MulAdd(a, b, c) = a * b + c,
// Max(a, b) = a > b ? a : b and Min(a, b) = a < b ? a : b (both give b where one is a NaN), Relu (a
// < 0 ? 0 : a), RoundLanesToBf16, TimesPowerOfTwo(v, n) = v * 2^n rounded once for integral n in
// [-150, 128] and v in [0.5, 2), Sum over the lanes by a fixed tree, and LoadBf16, LoadE4m3 and
// LoadE2m1 of kLanes stored elements without alignment. ExchangeLanes<i>: lane k gets lane k ^ i.
// For integers: Ints (kLanes of 32 bits), BitsOf, FloatOfBits, And, Or, AddInts, MaxInts,
// BroadcastInt, LoadInts, StoreInts, ToFloat, GatherBytes and LookUpNibbles (below), and
// DotBytes(sum, u, s), which adds to every lane the products of its four unsigned bytes with the
// four signed bytes of s.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace {

constexpr int64_t kLanes = 16;

using Vec = __m512;

inline __mmask16 MaskOf(int64_t count) { return static_cast<__mmask16>((1U << count) - 1U); }

inline Vec Zero() { return _mm512_setzero_ps(); }

inline Vec Broadcast(float value) { return _mm512_set1_ps(value); }

inline Vec Load(const float* data) { return _mm512_loadu_ps(data); }

inline Vec LoadPartial(const float* data, int64_t count) {
  return _mm512_maskz_loadu_ps(MaskOf(count), data);
}

inline void Store(Vec v, float* data) { _mm512_storeu_ps(data, v); }

inline void StorePartial(Vec v, float* data, int64_t count) {
  _mm512_mask_storeu_ps(data, MaskOf(count), v);
}

inline Vec Mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }

inline Vec Add(Vec a, Vec b) { return _mm512_add_ps(a, b); }

inline Vec MulAdd(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }

inline Vec Sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }

inline Vec Div(Vec a, Vec b) { return _mm512_div_ps(a, b); }

inline Vec Sqrt(Vec v) { return _mm512_maskz_sqrt_ps(0xFFFF, v); }

inline Vec Max(Vec a, Vec b) { return _mm512_maskz_max_ps(0xFFFF, a, b); }

inline Vec Min(Vec a, Vec b) { return _mm512_maskz_min_ps(0xFFFF, a, b); }

inline Vec TimesPowerOfTwo(Vec v, Vec n) { return _mm512_maskz_scalef_ps(0xFFFF, v, n); }

template <int64_t kDistance>
inline Vec ExchangeLanes(Vec v) {
  static_assert(kDistance == 1 || kDistance == 2 || kDistance == 4 || kDistance == 8);
  if constexpr (kDistance == 1) return _mm512_maskz_permute_ps(0xFFFF, v, 0xB1);
  if constexpr (kDistance == 2) return _mm512_maskz_permute_ps(0xFFFF, v, 0x4E);
  if constexpr (kDistance == 4) return _mm512_maskz_shuffle_f32x4(0xFFFF, v, v, 0xB1);
  if constexpr (kDistance == 8) return _mm512_maskz_shuffle_f32x4(0xFFFF, v, v, 0x4E);
}

// A NaN is the second operand and comes through.
inline Vec Relu(Vec v) { return _mm512_maskz_max_ps(0xFFFF, Zero(), v); }

// The masked extracts are plain ones without the undefined operand that g++ 12 warns about.
inline float Sum(Vec v) {
  const __m512d d = _mm512_castps_pd(v);
  const __m256 low = _mm256_castpd_ps(_mm512_maskz_extractf64x4_pd(0xF, d, 0));
  const __m256 high = _mm256_castpd_ps(_mm512_maskz_extractf64x4_pd(0xF, d, 1));
  const __m256 eight = _mm256_add_ps(low, high);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

// Plain instructions by their masked names: the unmasked ones have an undefined operand that makes
// g++ 12 warn.
inline __m512i Widen8(__m128i v) { return _mm512_maskz_cvtepu8_epi32(0xFFFF, v); }
inline __m512i Widen16(__m256i v) { return _mm512_maskz_cvtepu16_epi32(0xFFFF, v); }
inline __m512i Shift(__m512i v, unsigned count) {
  return _mm512_maskz_slli_epi32(0xFFFF, v, count);
}

inline Vec RoundLanesToBf16(Vec v) {
  const __m512i bits = _mm512_castps_si512(v);
  const __mmask16 odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x00010000));
  __m512i rounded = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF));
  rounded = _mm512_mask_add_epi32(rounded, odd, rounded, _mm512_set1_epi32(1));
  const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  rounded = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x00400000));
  return _mm512_castsi512_ps(
      _mm512_and_si512(rounded, _mm512_set1_epi32(static_cast<int>(0xFFFF0000U))));
}

using Ints = __m512i;

inline Ints BitsOf(Vec v) { return _mm512_castps_si512(v); }

inline Vec FloatOfBits(Ints v) { return _mm512_castsi512_ps(v); }

inline Ints And(Ints a, Ints b) { return _mm512_and_si512(a, b); }

inline Ints Or(Ints a, Ints b) { return _mm512_or_si512(a, b); }

inline Ints AddInts(Ints a, Ints b) { return _mm512_add_epi32(a, b); }

inline Ints MaxInts(Ints a, Ints b) { return _mm512_maskz_max_epi32(0xFFFF, a, b); }

inline Ints BroadcastInt(int32_t value) { return _mm512_set1_epi32(value); }

inline Ints LoadInts(const void* data) { return _mm512_loadu_si512(data); }

inline Vec ToFloat(Ints v) { return _mm512_maskz_cvtepi32_ps(0xFFFF, v); }

inline Ints DotBytes(Ints sum, Ints u, Ints s) {
#ifdef __AVX512VNNI__
  return _mm512_dpbusd_epi32(sum, u, s);
#else
  // The pair sums stay below 2^15: neither operand of the kernels is above 24 in magnitude.
  const Ints pairs = _mm512_maddubs_epi16(u, s);
  return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
#endif
}

// Four bytes at `offset` of each of the rows [0, count), 1 <= count <= kLanes; further lanes repeat
// the last one.
inline Ints GatherBytes(const uint8_t* rows, int64_t stride, int64_t count, int64_t offset) {
  const Ints lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const Ints row = _mm512_maskz_min_epi32(0xFFFF, lane, BroadcastInt(static_cast<int>(count - 1)));
  const Ints index = _mm512_mullo_epi32(row, BroadcastInt(static_cast<int>(stride)));
  return _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), 0xFFFF, index, rows + offset, 1);
}

// The four nibbles of bytes 0 and 1 (or 2 and 3) of every lane, low nibble first, as entries of a
// table of 16 bytes.
inline Ints LookUpNibbles(Ints bytes, bool upper, const uint8_t* table) {
  const __m128i pattern =
      upper ? _mm_setr_epi8(2, 2, 3, 3, 6, 6, 7, 7, 10, 10, 11, 11, 14, 14, 15, 15)
            : _mm_setr_epi8(0, 0, 1, 1, 4, 4, 5, 5, 8, 8, 9, 9, 12, 12, 13, 13);
  const Ints pairs = _mm512_shuffle_epi8(bytes, _mm512_maskz_broadcast_i32x4(0xFFFF, pattern));
  const Ints low = _mm512_and_si512(pairs, _mm512_set1_epi16(0x000F));
  const Ints high = _mm512_and_si512(_mm512_srli_epi16(pairs, 4), _mm512_set1_epi16(0x0F00));
  const __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return _mm512_shuffle_epi8(_mm512_maskz_broadcast_i32x4(0xFFFF, entries),
                             _mm512_or_si512(low, high));
}

inline void StoreInts(Ints v, void* data) { _mm512_storeu_si512(data, v); }

inline Vec LoadBf16(const void* data) {
  const __m256i bits = _mm256_loadu_si256(static_cast<const __m256i*>(data));
  return _mm512_castsi512_ps(Shift(Widen16(bits), 16));
}

inline Vec LoadE4m3(const void* data) {
  const __m512i byte = Widen8(_mm_loadu_si128(static_cast<const __m128i*>(data)));
  const __m512i magnitude = _mm512_and_si512(byte, _mm512_set1_epi32(0x7F));
  const __m512i sign = Shift(_mm512_and_si512(byte, _mm512_set1_epi32(0x80)), 24);
  const __m512i normal = _mm512_add_epi32(Shift(magnitude, 20), _mm512_set1_epi32(120 << 23));
  const __m512i subnormal = _mm512_castps_si512(
      _mm512_mul_ps(_mm512_maskz_cvtepi32_ps(0xFFFF, magnitude), _mm512_set1_ps(0x1p-9F)));
  __m512i bits = _mm512_mask_mov_epi32(
      normal, _mm512_cmplt_epi32_mask(magnitude, _mm512_set1_epi32(8)), subnormal);
  bits = _mm512_mask_mov_epi32(bits, _mm512_cmpeq_epi32_mask(magnitude, _mm512_set1_epi32(0x7F)),
                               _mm512_set1_epi32(0x7FC00000));
  return _mm512_castsi512_ps(_mm512_or_si512(bits, sign));
}

inline Vec LoadE2m1(const void* data) {
  const __m512 table = _mm512_setr_ps(0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F, -0.0F, -0.5F,
                                      -1.0F, -1.5F, -2.0F, -3.0F, -4.0F, -6.0F);
  const __m128i pair = _mm_cvtepu8_epi16(_mm_loadl_epi64(static_cast<const __m128i*>(data)));
  const __m128i code =
      _mm_and_si128(_mm_or_si128(pair, _mm_slli_epi16(pair, 4)), _mm_set1_epi8(15));
  return _mm512_maskz_permutexvar_ps(0xFFFF, Widen8(code), table);
}

}  // namespace
