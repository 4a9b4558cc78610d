// bf16 operands of attention: packed rows expanded, rows and weights brought into the order of the
// products. For AVX-512 with VBMI and BF16.
#pragma once

#include "kernels/cpu/bf16-inl.h"
#include "kernels/kernel_table.h"

namespace {

void ExpandE4m3Blocks(const void* data, const uint8_t* scales, int64_t n,
                      const dsv::Bf16Tables& tables, uint16_t* out) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  for (int64_t i = 0; i < n; i += 64) {
    const E4m3Lookup lookup(tables.e4m3[scales[i / 64]]);
    const __m512i codes = _mm512_maskz_loadu_epi8(ByteMask(n - i), bytes + i);
    __m512i first;
    __m512i second;
    lookup(codes, first, second);
    _mm512_storeu_si512(out + i, first);
    if (n - i > kHalfLanes) _mm512_storeu_si512(out + i + kHalfLanes, second);
  }
}

// Two rows of 32 elements to one pair of k of two tiles.
inline void PackPair(__m512i first, __m512i second, uint16_t* b) {
  // Unpacking works within lanes of 128 bits, so the quarters are ordered before.
  const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
  first = _mm512_permutexvar_epi64(order, first);
  second = _mm512_permutexvar_epi64(order, second);
  _mm512_storeu_si512(b, _mm512_unpacklo_epi16(first, second));
  _mm512_storeu_si512(b + dsv::kTileSize * dsv::kTileK, _mm512_unpackhi_epi16(first, second));
}

// Columns [0, n) of `rows` rows, at most 32, of which the others are zeros.
template <bool kAllRows>
inline void PackBlock(const uint16_t* x, int64_t x_stride, int64_t rows, int64_t n, uint16_t* b) {
  const __m512i zero = _mm512_setzero_si512();
  for (int64_t i = 0; i < n; i += 32, b += 2 * dsv::kTileSize * dsv::kTileK) {
    const uint16_t* row = x + i;
    for (int64_t r = 0; r < dsv::kTileK; r += 2, row += 2 * x_stride) {
      const __m512i first = kAllRows || r < rows ? _mm512_loadu_si512(row) : zero;
      const __m512i second = kAllRows || r + 1 < rows ? _mm512_loadu_si512(row + x_stride) : zero;
      PackPair(first, second, b + r * dsv::kTileSize);
    }
  }
}

void PackRows(const uint16_t* x, int64_t x_stride, int64_t rows, int64_t n, uint16_t* b) {
  for (; rows > 0; rows -= dsv::kTileK, x += dsv::kTileK * x_stride, b += dsv::kTileK * n) {
    rows >= dsv::kTileK ? PackBlock<true>(x, x_stride, rows, n, b)
                        : PackBlock<false>(x, x_stride, rows, n, b);
  }
}

void TransposeToBf16(const float* x, int64_t x_stride, int64_t rows, int64_t heads, uint16_t* out,
                     int64_t out_stride) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                         8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  for (int64_t h = 0; h < heads; h += 16, x += 16, out += 16 * out_stride) {
    const __mmask16 mask = FloatMask(heads - h);
    __m512i pairs[16];
    for (int64_t p = 0; p < 16; ++p) {
      const int64_t r = 2 * p;
      const __m512 first = _mm512_maskz_loadu_ps(r < rows ? mask : 0, x + r * x_stride);
      const __m512 second = _mm512_maskz_loadu_ps(r + 1 < rows ? mask : 0, x + (r + 1) * x_stride);
      pairs[p] = _mm512_permutexvar_epi16(order, RoundPair(first, second));
    }
    Transpose(pairs);
    const int64_t count = heads - h < 16 ? heads - h : 16;
    for (int64_t i = 0; i < count; ++i) _mm512_storeu_si512(out + i * out_stride, pairs[i]);
  }
}

constexpr dsv::Bf16Kernels WithAttention(dsv::Bf16Kernels kernels) {
  kernels.expand_e4m3_blocks = ExpandE4m3Blocks;
  kernels.pack_rows = PackRows;
  kernels.transpose = TransposeToBf16;
  return kernels;
}

}  // namespace
