// Products of float weights and float activations, over the lanes of simd_<isa>.h.
#pragma once

#include "kernels/kernel_table.h"

namespace {

constexpr int64_t kScaleBlock = 128;

// Lane sums of OUTS x ROWS dot products over [begin, end), continuing `sum`.
template <int64_t kOuts, int64_t kRows>
inline void Accumulate(const float* w, int64_t w_stride, const float* x, int64_t x_stride,
                       int64_t begin, int64_t end, Vec (&sum)[kOuts][kRows]) {
  int64_t k = begin;
  for (; k + kLanes <= end; k += kLanes) {
    Vec xs[kRows];
    for (int64_t t = 0; t < kRows; ++t) xs[t] = Load(x + t * x_stride + k);
    for (int64_t i = 0; i < kOuts; ++i) {
      const Vec ws = Load(w + i * w_stride + k);
      for (int64_t t = 0; t < kRows; ++t) sum[i][t] = MulAdd(ws, xs[t], sum[i][t]);
    }
  }
  if (k == end) return;
  const int64_t rest = end - k;
  for (int64_t i = 0; i < kOuts; ++i) {
    const Vec ws = LoadPartial(w + i * w_stride + k, rest);
    for (int64_t t = 0; t < kRows; ++t) {
      sum[i][t] = MulAdd(ws, LoadPartial(x + t * x_stride + k, rest), sum[i][t]);
    }
  }
}

template <int64_t kOuts, int64_t kRows>
void DotTile(const float* w, int64_t w_stride, const float* /*scale*/, int64_t /*scale_stride*/,
             const float* x, int64_t x_stride, int64_t k, float* y, int64_t y_stride) {
  Vec sum[kOuts][kRows];
  for (auto& row : sum) {
    for (Vec& v : row) v = Zero();
  }
  Accumulate<kOuts, kRows>(w, w_stride, x, x_stride, 0, k, sum);
  for (int64_t i = 0; i < kOuts; ++i) {
    for (int64_t t = 0; t < kRows; ++t) y[t * y_stride + i] = Sum(sum[i][t]);
  }
}

template <int64_t kOuts, int64_t kRows>
void DotScaledTile(const float* w, int64_t w_stride, const float* scale, int64_t scale_stride,
                   const float* x, int64_t x_stride, int64_t k, float* y, int64_t y_stride) {
  Vec total[kOuts][kRows];
  for (auto& row : total) {
    for (Vec& v : row) v = Zero();
  }
  for (int64_t begin = 0; begin < k; begin += kScaleBlock) {
    const int64_t end = begin + kScaleBlock < k ? begin + kScaleBlock : k;
    Vec sum[kOuts][kRows];
    for (auto& row : sum) {
      for (Vec& v : row) v = Zero();
    }
    Accumulate<kOuts, kRows>(w, w_stride, x, x_stride, begin, end, sum);
    for (int64_t i = 0; i < kOuts; ++i) {
      const Vec s = Broadcast(scale[i * scale_stride + begin / kScaleBlock]);
      for (int64_t t = 0; t < kRows; ++t) total[i][t] = MulAdd(sum[i][t], s, total[i][t]);
    }
  }
  for (int64_t i = 0; i < kOuts; ++i) {
    for (int64_t t = 0; t < kRows; ++t) y[t * y_stride + i] = Sum(total[i][t]);
  }
}

using Tile = void (*)(const float* w, int64_t w_stride, const float* scale, int64_t scale_stride,
                      const float* x, int64_t x_stride, int64_t k, float* y, int64_t y_stride);

// Tiles of up to 4 outputs x 4 rows: 16 sums hide the latency of the multiply-adds.
constexpr int64_t kTile = 4;

constexpr Tile kDotTiles[kTile][kTile] = {
    {DotTile<1, 1>, DotTile<1, 2>, DotTile<1, 3>, DotTile<1, 4>},
    {DotTile<2, 1>, DotTile<2, 2>, DotTile<2, 3>, DotTile<2, 4>},
    {DotTile<3, 1>, DotTile<3, 2>, DotTile<3, 3>, DotTile<3, 4>},
    {DotTile<4, 1>, DotTile<4, 2>, DotTile<4, 3>, DotTile<4, 4>}};

constexpr Tile kDotScaledTiles[kTile][kTile] = {
    {DotScaledTile<1, 1>, DotScaledTile<1, 2>, DotScaledTile<1, 3>, DotScaledTile<1, 4>},
    {DotScaledTile<2, 1>, DotScaledTile<2, 2>, DotScaledTile<2, 3>, DotScaledTile<2, 4>},
    {DotScaledTile<3, 1>, DotScaledTile<3, 2>, DotScaledTile<3, 3>, DotScaledTile<3, 4>},
    {DotScaledTile<4, 1>, DotScaledTile<4, 2>, DotScaledTile<4, 3>, DotScaledTile<4, 4>}};

void RunTiles(const Tile (&tiles)[kTile][kTile], const float* w, int64_t w_stride,
              const float* scale, int64_t scale_stride, int64_t outs, const float* x,
              int64_t x_stride, int64_t rows, int64_t k, float* y, int64_t y_stride) {
  for (int64_t t = 0; t < rows; t += kTile) {
    const int64_t tile_rows = rows - t < kTile ? rows - t : kTile;
    for (int64_t i = 0; i < outs; i += kTile) {
      const int64_t tile_outs = outs - i < kTile ? outs - i : kTile;
      tiles[tile_outs - 1][tile_rows - 1](w + i * w_stride, w_stride, scale + i * scale_stride,
                                          scale_stride, x + t * x_stride, x_stride, k,
                                          y + t * y_stride + i, y_stride);
    }
  }
}

void Dot(const float* w, int64_t w_stride, int64_t outs, const float* x, int64_t x_stride,
         int64_t rows, int64_t k, float* y, int64_t y_stride) {
  RunTiles(kDotTiles, w, w_stride, w, 0, outs, x, x_stride, rows, k, y, y_stride);
}

void DotScaled(const float* w, int64_t w_stride, const float* scale, int64_t outs, const float* x,
               int64_t x_stride, int64_t rows, int64_t k, float* y, int64_t y_stride) {
  RunTiles(kDotScaledTiles, w, w_stride, scale, (k + kScaleBlock - 1) / kScaleBlock, outs, x,
           x_stride, rows, k, y, y_stride);
}

}  // namespace
