// The bf16 product with AMX tiles. TDPBF16PS sums the even and the odd elements of a tile's 32 k in
// order and adds both sums to the element of c; it reads and returns subnormals as zeros.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/tiles_amx.h"
#include "kernels/kernel_table.h"

namespace {

template <bool kTwoRows, bool kTwoColumns>
inline void ProductTiles(const dsv::Bf16ProductJob& job, const uint16_t* a, const uint16_t* b,
                         float* c, int64_t b_row_bytes) {
  const int64_t a_bytes = job.a_stride * 2;
  const int64_t c_bytes = job.c_stride * 4;
  const uint16_t* a1 = a + 16 * job.a_stride;
  float* c1 = c + 16 * job.c_stride;
  TileFence();
  if (job.add) {
    _tile_loadd(0, c, c_bytes);
    if (kTwoColumns) _tile_loadd(1, c + 16, c_bytes);
    if (kTwoRows) _tile_loadd(2, c1, c_bytes);
    if (kTwoRows && kTwoColumns) _tile_loadd(3, c1 + 16, c_bytes);
  } else {
    _tile_zero(0);
    if (kTwoColumns) _tile_zero(1);
    if (kTwoRows) _tile_zero(2);
    if (kTwoRows && kTwoColumns) _tile_zero(3);
  }
  for (int64_t kb = 0; kb < job.k_blocks; ++kb) {
    const uint16_t* tile = b + kb * job.b_k_stride;
    _tile_loadd(4, a + 32 * kb, a_bytes);
    _tile_loadd(6, tile, b_row_bytes);
    _tile_dpbf16ps(0, 4, 6);
    if (kTwoColumns) {
      _tile_loadd(7, tile + job.b_n_stride, b_row_bytes);
      _tile_dpbf16ps(1, 4, 7);
    }
    if (kTwoRows) {
      _tile_loadd(5, a1 + 32 * kb, a_bytes);
      _tile_dpbf16ps(2, 5, 6);
      if (kTwoColumns) _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, c, c_bytes);
  if (kTwoColumns) _tile_stored(1, c + 16, c_bytes);
  if (kTwoRows) _tile_stored(2, c1, c_bytes);
  if (kTwoRows && kTwoColumns) _tile_stored(3, c1 + 16, c_bytes);
  TileFence();
}

// At most 32 rows of a, or a multiple of 32.
void ProductStrip(const dsv::Bf16ProductJob& job, int64_t first, int64_t rows) {
  const int64_t width = job.n < 16 ? job.n : 16;
  ConfigureTiles(rows < 32 ? rows : 32, width);
  const int64_t step = rows > 16 ? 32 : 16;
  for (int64_t i = first; i < first + rows; i += step) {
    const uint16_t* a = job.a + i * job.a_stride;
    for (int64_t j = 0; j < job.n; j += 32) {
      const uint16_t* b = job.b + j / 16 * job.b_n_stride;
      float* c = job.c + i * job.c_stride + j;
      const bool two_columns = job.n - j > 16;
      if (step == 32) {
        two_columns ? ProductTiles<true, true>(job, a, b, c, 4 * width)
                    : ProductTiles<true, false>(job, a, b, c, 4 * width);
      } else {
        two_columns ? ProductTiles<false, true>(job, a, b, c, 4 * width)
                    : ProductTiles<false, false>(job, a, b, c, 4 * width);
      }
    }
  }
}

void Product(const dsv::Bf16ProductJob& job) {
  const int64_t whole = job.m / 32 * 32;
  if (whole > 0) ProductStrip(job, 0, whole);
  if (job.m > whole) ProductStrip(job, whole, job.m - whole);
  _tile_release();
}

}  // namespace
