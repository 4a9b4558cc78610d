// Weighted sums of rows, over the lanes of simd_<isa>.h.
#pragma once

#include "kernels/kernel_table.h"

namespace {

// kCols blocks of kLanes columns of kHeads outputs.
template <int64_t kHeads, int64_t kCols>
inline void AddWeightedBlocks(const float* p, int64_t p_stride, const float* row, int64_t rows,
                              int64_t width, float* out) {
  Vec sum[kHeads][kCols];
  for (int64_t h = 0; h < kHeads; ++h) {
    for (int64_t i = 0; i < kCols; ++i) sum[h][i] = Load(out + h * width + i * kLanes);
  }
  for (int64_t r = 0; r < rows; ++r) {
    Vec weight[kHeads];
    for (int64_t h = 0; h < kHeads; ++h) weight[h] = Broadcast(p[h * p_stride + r]);
    for (int64_t i = 0; i < kCols; ++i) {
      const Vec v = Load(row + r * width + i * kLanes);
      for (int64_t h = 0; h < kHeads; ++h) sum[h][i] = MulAdd(weight[h], v, sum[h][i]);
    }
  }
  for (int64_t h = 0; h < kHeads; ++h) {
    for (int64_t i = 0; i < kCols; ++i) Store(sum[h][i], out + h * width + i * kLanes);
  }
}

// The last columns, fewer than kLanes.
template <int64_t kHeads>
inline void AddWeightedRest(const float* p, int64_t p_stride, const float* row, int64_t rows,
                            int64_t width, int64_t count, float* out) {
  Vec sum[kHeads];
  for (int64_t h = 0; h < kHeads; ++h) sum[h] = LoadPartial(out + h * width, count);
  for (int64_t r = 0; r < rows; ++r) {
    const Vec v = LoadPartial(row + r * width, count);
    for (int64_t h = 0; h < kHeads; ++h) {
      sum[h] = MulAdd(Broadcast(p[h * p_stride + r]), v, sum[h]);
    }
  }
  for (int64_t h = 0; h < kHeads; ++h) StorePartial(sum[h], out + h * width, count);
}

// Sixteen sums at a time: with few heads they go along the row, so that it is read in long pieces.
template <int64_t kHeads>
void AddWeightedHeads(const float* p, int64_t p_stride, const float* row, int64_t rows,
                      int64_t width, float* out) {
  constexpr int64_t kCols = 16 / kHeads;
  int64_t i = 0;
  for (; i + kCols * kLanes <= width; i += kCols * kLanes) {
    AddWeightedBlocks<kHeads, kCols>(p, p_stride, row + i, rows, width, out + i);
  }
  for (; i + kLanes <= width; i += kLanes) {
    AddWeightedBlocks<kHeads, 1>(p, p_stride, row + i, rows, width, out + i);
  }
  if (i < width) {
    AddWeightedRest<kHeads>(p, p_stride, row + i, rows, width, width - i, out + i);
  }
}

void AddWeightedRows(const float* p, int64_t p_stride, int64_t heads, const float* row,
                     int64_t rows, int64_t width, float* out) {
  int64_t h = 0;
  for (; h + 8 <= heads; h += 8) {
    AddWeightedHeads<8>(p + h * p_stride, p_stride, row, rows, width, out + h * width);
  }
  for (; h + 2 <= heads; h += 2) {
    AddWeightedHeads<2>(p + h * p_stride, p_stride, row, rows, width, out + h * width);
  }
  if (h < heads) AddWeightedHeads<1>(p + h * p_stride, p_stride, row, rows, width, out + h * width);
}

}  // namespace
