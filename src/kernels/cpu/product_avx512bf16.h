// The bf16 product with vdpbf16ps: a row of b's tile in one register, pairs of a broadcast to it.
#pragma once

#include <immintrin.h>

#include "kernels/kernel_table.h"

namespace {

inline __m512bh LoadPairs(const uint16_t* data, __mmask16 mask) {
  const __m512i bits = _mm512_maskz_loadu_epi32(mask, data);
  __m512bh pairs;
  __builtin_memcpy(&pairs, &bits, sizeof pairs);
  return pairs;
}

inline __m512bh BroadcastPair(const uint16_t* data) {
  int bits;
  __builtin_memcpy(&bits, data, sizeof bits);
  const __m512i all = _mm512_set1_epi32(bits);
  __m512bh pairs;
  __builtin_memcpy(&pairs, &all, sizeof pairs);
  return pairs;
}

template <int kRows>
void ProductRows(const dsv::Bf16ProductJob& job, const uint16_t* a, const uint16_t* b, float* c,
                 int64_t width) {
  const __mmask16 mask = static_cast<__mmask16>((1U << width) - 1U);
  __m512 sum[kRows];
  for (int i = 0; i < kRows; ++i) {
    sum[i] = job.add ? _mm512_maskz_loadu_ps(mask, c + i * job.c_stride) : _mm512_setzero_ps();
  }
  for (int64_t kb = 0; kb < job.k_blocks; ++kb) {
    const uint16_t* tile = b + kb * job.b_k_stride;
    for (int64_t p = 0; p < 16; ++p) {
      const __m512bh pairs = LoadPairs(tile + p * 2 * width, mask);
      const uint16_t* column = a + kb * 32 + 2 * p;
      for (int i = 0; i < kRows; ++i) {
        sum[i] = _mm512_dpbf16_ps(sum[i], BroadcastPair(column + i * job.a_stride), pairs);
      }
    }
  }
  for (int i = 0; i < kRows; ++i) _mm512_mask_storeu_ps(c + i * job.c_stride, mask, sum[i]);
}

using ProductRowsFunction = void (*)(const dsv::Bf16ProductJob&, const uint16_t*, const uint16_t*,
                                     float*, int64_t);
constexpr int64_t kProductRows = 12;
constexpr ProductRowsFunction kProductOfRows[kProductRows] = {
    ProductRows<1>, ProductRows<2>, ProductRows<3>, ProductRows<4>,  ProductRows<5>,  ProductRows<6>,
    ProductRows<7>, ProductRows<8>, ProductRows<9>, ProductRows<10>, ProductRows<11>, ProductRows<12>};

void Product(const dsv::Bf16ProductJob& job) {
  const int64_t width = job.n < 16 ? job.n : 16;
  for (int64_t j = 0; j < job.n; j += 16) {
    const uint16_t* b = job.b + j / 16 * job.b_n_stride;
    for (int64_t i = 0; i < job.m; i += kProductRows) {
      const int64_t rows = job.m - i < kProductRows ? job.m - i : kProductRows;
      kProductOfRows[rows - 1](job, job.a + i * job.a_stride, b, job.c + i * job.c_stride + j,
                               width);
    }
  }
}

}  // namespace
