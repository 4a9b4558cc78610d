// Products with float activations, over the lanes of simd_<isa>.h. Weights are expanded to floats:
// of few rows a piece at a time, which stays in the first-level cache, of many rows a whole panel.
#pragma once

#include "kernels/cpu/expand-inl.h"
#include "kernels/kernel_table.h"

namespace {

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
inline void SetZero(Vec (&sum)[kOuts][kRows]) {
  for (auto& row : sum) {
    for (Vec& v : row) v = Zero();
  }
}

template <int64_t kOuts, int64_t kRows>
inline void StoreSums(const Vec (&sum)[kOuts][kRows], float* y, int64_t y_stride) {
  for (int64_t i = 0; i < kOuts; ++i) {
    for (int64_t t = 0; t < kRows; ++t) y[t * y_stride + i] = Sum(sum[i][t]);
  }
}

template <int64_t kOuts, int64_t kRows>
void DotTile(const float* w, int64_t w_stride, const float* x, int64_t x_stride, int64_t k,
             float* y, int64_t y_stride) {
  Vec sum[kOuts][kRows];
  SetZero(sum);
  Accumulate<kOuts, kRows>(w, w_stride, x, x_stride, 0, k, sum);
  StoreSums(sum, y, y_stride);
}

// Tiles of up to 4 outputs x 4 rows: 16 sums hide the latency of the multiply-adds.
constexpr int64_t kTile = 4;

// A function table by the numbers of outputs and rows of a tile, each less one.
#define DSV_TILES(function)                                                   \
  {{function<1, 1>, function<1, 2>, function<1, 3>, function<1, 4>},          \
   {function<2, 1>, function<2, 2>, function<2, 3>, function<2, 4>},          \
   {function<3, 1>, function<3, 2>, function<3, 3>, function<3, 4>},          \
   {function<4, 1>, function<4, 2>, function<4, 3>, function<4, 4>}}

using DotTileFunction = void (*)(const float* w, int64_t w_stride, const float* x,
                                 int64_t x_stride, int64_t k, float* y, int64_t y_stride);
constexpr DotTileFunction kDotTiles[kTile][kTile] = DSV_TILES(DotTile);

void Dot(const float* w, int64_t w_stride, int64_t outs, const float* x, int64_t x_stride,
         int64_t rows, int64_t k, float* y, int64_t y_stride) {
  for (int64_t t = 0; t < rows; t += kTile) {
    const int64_t tile_rows = rows - t < kTile ? rows - t : kTile;
    for (int64_t i = 0; i < outs; i += kTile) {
      const int64_t tile_outs = outs - i < kTile ? outs - i : kTile;
      kDotTiles[tile_outs - 1][tile_rows - 1](w + i * w_stride, w_stride, x + t * x_stride,
                                              x_stride, k, y + t * y_stride + i, y_stride);
    }
  }
}

constexpr int64_t kFloatPanelOuts = 16;

int64_t FloatPanelOuts(int64_t /*rows*/) { return kFloatPanelOuts; }

// Inputs of a piece, a multiple of the lanes and of every block of scales.
constexpr int64_t kPiece = 512;

int64_t FloatScratchBytes(int64_t rows, int64_t in) {
  return (rows > kTile ? kFloatPanelOuts * in : kTile * kPiece) * int64_t{sizeof(float)};
}

// Inputs [begin, end) of `outs` rows of the weight from `out` on: [outs, stride].
void ExpandPiece(const dsv::LinearPanel& panel, int64_t out, int64_t outs, int64_t begin,
                 int64_t end, float* values, int64_t stride) {
  for (int64_t i = 0; i < outs; ++i) {
    float* row = values + i * stride;
    ExpandRowPart(*panel.weight, out + i, begin, end - begin, panel.keep_scale, row);
    if (panel.round_weight) RoundToBf16InPlace(row, end - begin);
  }
}

// Continues `sum` with inputs [begin, end), whose weights are at w. With keep_scale every block of
// 128 is a sum of its own that is multiplied by the block's scale.
template <int64_t kOuts, int64_t kRows>
inline void AddPiece(const dsv::LinearPanel& panel, int64_t out, const float* w, int64_t w_stride,
                     const float* x, int64_t begin, int64_t end, Vec (&sum)[kOuts][kRows]) {
  if (!panel.keep_scale) {
    return Accumulate<kOuts, kRows>(w - begin, w_stride, x, panel.x_stride, begin, end, sum);
  }
  for (int64_t block = begin; block < end; block += dsv::kFp8Block) {
    const int64_t block_end = block + dsv::kFp8Block < end ? block + dsv::kFp8Block : end;
    Vec part[kOuts][kRows];
    SetZero(part);
    Accumulate<kOuts, kRows>(w - begin, w_stride, x, panel.x_stride, block, block_end, part);
    for (int64_t i = 0; i < kOuts; ++i) {
      const Vec scale = Broadcast(BlockScaleF32(*panel.weight, out + i, block));
      for (int64_t t = 0; t < kRows; ++t) sum[i][t] = MulAdd(part[i][t], scale, sum[i][t]);
    }
  }
}

// `expanded` is what ExpandPiece made of all inputs, or null: then they are expanded in pieces.
template <int64_t kOuts, int64_t kRows>
void PanelTile(const dsv::LinearPanel& panel, int64_t out, const float* expanded, const float* x,
               float* y) {
  const int64_t in = panel.weight->in;
  Vec sum[kOuts][kRows];
  SetZero(sum);
  if (expanded != nullptr) {
    AddPiece<kOuts, kRows>(panel, out, expanded, in, x, 0, in, sum);
  } else {
    auto* piece = static_cast<float*>(panel.scratch);
    for (int64_t begin = 0; begin < in; begin += kPiece) {
      const int64_t end = begin + kPiece < in ? begin + kPiece : in;
      ExpandPiece(panel, out, kOuts, begin, end, piece, kPiece);
      AddPiece<kOuts, kRows>(panel, out, piece, kPiece, x, begin, end, sum);
    }
  }
  StoreSums(sum, y, panel.y_stride);
}

using PanelTileFunction = void (*)(const dsv::LinearPanel& panel, int64_t out,
                                   const float* expanded, const float* x, float* y);
constexpr PanelTileFunction kPanelTiles[kTile][kTile] = DSV_TILES(PanelTile);

void FloatPanel(const dsv::LinearPanel& panel, const dsv::Bf16Tables& /*tables*/) {
  const auto* x = static_cast<const float*>(panel.x);
  const float* expanded = nullptr;
  if (panel.rows > kTile) {
    auto* values = static_cast<float*>(panel.scratch);
    ExpandPiece(panel, panel.first, panel.outs, 0, panel.weight->in, values, panel.weight->in);
    expanded = values;
  }
  for (int64_t t = 0; t < panel.rows; t += kTile) {
    const int64_t rows = panel.rows - t < kTile ? panel.rows - t : kTile;
    for (int64_t i = 0; i < panel.outs; i += kTile) {
      const int64_t outs = panel.outs - i < kTile ? panel.outs - i : kTile;
      kPanelTiles[outs - 1][rows - 1](
          panel, panel.first + i, expanded == nullptr ? nullptr : expanded + i * panel.weight->in,
          x + t * panel.x_stride, panel.y + t * panel.y_stride + i);
    }
    if (!panel.round_y) continue;
    for (int64_t r = t; r < t + rows; ++r) {
      RoundToBf16InPlace(panel.y + r * panel.y_stride, panel.outs);
    }
  }
}

constexpr dsv::PanelKernels kFloatPanels = {.panel_outs = FloatPanelOuts,
                                             .pack_bytes = nullptr,
                                             .pack = nullptr,
                                             .scratch_bytes = FloatScratchBytes,
                                             .panel = FloatPanel};

}  // namespace
