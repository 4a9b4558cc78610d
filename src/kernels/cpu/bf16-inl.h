// bf16 operands for dot products: expansion of stored values by table and packing of activations.
// For AVX-512 with VBMI and BF16.
#pragma once

#include <immintrin.h>

#include "kernels/kernel_table.h"

namespace {

constexpr int64_t kHalfLanes = 32;  // of 16 bits

inline __mmask32 HalfMask(int64_t count) {
  return count >= kHalfLanes ? ~__mmask32{0} : static_cast<__mmask32>((uint64_t{1} << count) - 1U);
}

inline __mmask64 ByteMask(int64_t count) {
  return count >= 64 ? ~__mmask64{0} : static_cast<__mmask64>((uint64_t{1} << count) - 1U);
}

struct E4m3Lookup {
  explicit E4m3Lookup(const dsv::Bf16Tables::E4m3& table)
      : high0(_mm512_load_si512(table.high)),
        high1(_mm512_load_si512(table.high + 64)),
        low0(_mm512_load_si512(table.low)),
        low1(_mm512_load_si512(table.low + 64)) {}

  // 64 codes to two vectors of 32 values, in order.
  void operator()(__m512i codes, __m512i& first, __m512i& second) const {
    const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
    codes = _mm512_permutexvar_epi64(order, codes);
    const __m512i low = _mm512_permutex2var_epi8(low0, codes, low1);
    const __m512i magnitude = _mm512_permutex2var_epi8(high0, codes, high1);
    // magnitude | (codes & 0x80)
    const __m512i high =
        _mm512_ternarylogic_epi64(magnitude, codes, _mm512_set1_epi8(-128), 0xF8);
    first = _mm512_unpacklo_epi8(low, high);
    second = _mm512_unpackhi_epi8(low, high);
  }

  __m512i high0, high1, low0, low1;
};

// Expanders write blocks of 32 values `stride` elements apart; most rows come in whole blocks of 64.
inline void ExpandE4m3Row(const void* data, int64_t n, const E4m3Lookup& lookup, uint16_t* out,
                          int64_t stride) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  __m512i first;
  __m512i second;
  for (; n >= 64; n -= 64, bytes += 64, out += 2 * stride) {
    lookup(_mm512_loadu_si512(bytes), first, second);
    _mm512_storeu_si512(out, first);
    _mm512_storeu_si512(out + stride, second);
  }
  if (n <= 0) return;
  lookup(_mm512_maskz_loadu_epi8(ByteMask(n), bytes), first, second);
  _mm512_storeu_si512(out, first);
  if (n > kHalfLanes) _mm512_storeu_si512(out + stride, second);
}

// 32 packed codes to 32 values, in order.
inline __m512i LookUpE2m1(const void* codes, const dsv::Bf16Tables::E2m1& table) {
  const __m512i bytes = _mm512_broadcast_i32x4(_mm_loadu_si128(static_cast<const __m128i*>(codes)));
  // Word j holds byte j / 2; the odd words are shifted to their high nibble.
  const __m512i order = _mm512_setr_epi32(
      0x00000000, 0x01010101, 0x02020202, 0x03030303, 0x04040404, 0x05050505, 0x06060606,
      0x07070707, 0x08080808, 0x09090909, 0x0A0A0A0A, 0x0B0B0B0B, 0x0C0C0C0C, 0x0D0D0D0D,
      0x0E0E0E0E, 0x0F0F0F0F);
  const __m512i pairs = _mm512_shuffle_epi8(bytes, order);
  const __m512i code = _mm512_srlv_epi16(pairs, _mm512_set1_epi32(0x00040000));
  return _mm512_permutexvar_epi16(code, _mm512_load_si512(table.value));
}

inline void ExpandE2m1Row(const void* data, const uint8_t* scales, int64_t n,
                          const dsv::Bf16Tables& tables, uint16_t* out, int64_t stride) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  for (; n >= 64; n -= 64, bytes += 32, scales += 2, out += 2 * stride) {
    const __m512i first = LookUpE2m1(bytes, tables.e2m1[scales[0]]);
    const __m512i second = LookUpE2m1(bytes + 16, tables.e2m1[scales[1]]);
    _mm512_storeu_si512(out, first);
    _mm512_storeu_si512(out + stride, second);
  }
  if (n > 0) _mm512_storeu_si512(out, LookUpE2m1(bytes, tables.e2m1[scales[0]]));
}

inline void CopyBf16Row(const void* data, int64_t n, uint16_t* out, int64_t stride) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  for (; n >= kHalfLanes; n -= kHalfLanes, bytes += 64, out += stride) {
    _mm512_storeu_si512(out, _mm512_loadu_si512(bytes));
  }
  if (n > 0) _mm512_storeu_si512(out, _mm512_maskz_loadu_epi16(HalfMask(n), bytes));
}

void CopyBf16(const void* data, int64_t n, uint16_t* out) { CopyBf16Row(data, n, out, kHalfLanes); }

// The nearest bf16 of 32 floats.
inline __m512i RoundPair(__m512 first, __m512 second) {
  const __m512bh rounded = _mm512_cvtne2ps_pbh(second, first);
  __m512i bits;
  __builtin_memcpy(&bits, &rounded, sizeof bits);
  return bits;
}

inline __mmask16 FloatMask(int64_t count) {
  if (count <= 0) return 0;
  return count >= 16 ? __mmask16{0xFFFF} : static_cast<__mmask16>((1U << count) - 1U);
}

inline __m512i LoadRounded(const float* x, int64_t n) {
  return RoundPair(_mm512_maskz_loadu_ps(FloatMask(n), x),
                   _mm512_maskz_loadu_ps(FloatMask(n - 16), x + 16));
}

void RoundToBf16(const float* x, int64_t n, uint16_t* out) {
  for (int64_t i = 0; i < n; i += kHalfLanes) {
    _mm512_storeu_si512(out + i, LoadRounded(x + i, n - i));
  }
}

// Transposes 16 x 16 elements of 32 bits.
inline void Transpose(__m512i (&r)[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xDD);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xDD);
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xDD);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xDD);
  }
}

// One tile of up to 16 columns.
void PackTile(const float* x, int64_t x_stride, int64_t n, int64_t k, uint16_t* tile,
              int64_t width) {
  __m512i rows[16];
  for (int64_t t = 0; t < 16; ++t) {
    rows[t] = t < n ? LoadRounded(x + t * x_stride, k) : _mm512_setzero_si512();
  }
  Transpose(rows);
  const __mmask16 mask = FloatMask(width);
  for (int64_t p = 0; p < 16; ++p) {
    _mm512_mask_storeu_epi32(tile + p * 2 * width, mask, rows[p]);
  }
}

// Columns in tiles of `width`, which is 16 or the number of columns.
void PackColumns(const float* x, int64_t x_stride, int64_t n, int64_t k, uint16_t* b, int64_t width,
                 int64_t b_k_stride, int64_t b_n_stride) {
  if (width == 1) return RoundToBf16(x, k, b);
  for (int64_t t = 0; t < n; t += 16) {
    const int64_t columns = n - t < 16 ? n - t : 16;
    for (int64_t i = 0; i < k; i += kHalfLanes) {
      PackTile(x + t * x_stride + i, x_stride, columns, k - i,
               b + i / kHalfLanes * b_k_stride + t / 16 * b_n_stride, width);
    }
  }
}

void PackColumnTiles(const float* x, int64_t x_stride, int64_t n, int64_t k, uint16_t* b,
                     int64_t b_k_stride, int64_t b_n_stride) {
  PackColumns(x, x_stride, n, k, b, n < 16 ? n : 16, b_k_stride, b_n_stride);
}

constexpr dsv::Bf16Kernels TableOfBf16(const dsv::PanelKernels& panels,
                                       void (*product)(const dsv::Bf16ProductJob& job)) {
  return {.panels = panels,
          .product = product,
          .copy_bf16 = CopyBf16,
          .round = RoundToBf16,
          .pack_columns = PackColumnTiles};
}

}  // namespace
