// Panels of a linear product with vdpbf16ps. Lanes run along the inputs, a sum for every output and
// row is reduced once at the end, so one row and many take the same steps.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/linear_bf16-inl.h"
#include "kernels/cpu/linear-inl.h"
#include "kernels/kernel_table.h"

namespace {

constexpr int64_t kLanePanelOuts = 16;

int64_t LanePanelOuts(int64_t /*rows*/) { return kLanePanelOuts; }

inline int64_t PaddedIn(int64_t in) { return (in + dsv::kTileK - 1) / dsv::kTileK * dsv::kTileK; }

int64_t LanePackBytes(int64_t rows, int64_t in) { return rows * PaddedIn(in) * 2; }

void LanePackRows(const float* x, int64_t x_stride, int64_t /*rows*/, int64_t in, int64_t first,
                  int64_t count, void* packed) {
  for (int64_t t = first; t < first + count; ++t) {
    RoundToBf16(x + t * x_stride, in, static_cast<uint16_t*>(packed) + t * PaddedIn(in));
  }
}

// Of few rows pieces of a tile's outputs, of many the whole panel.
int64_t LaneScratchBytes(int64_t rows, int64_t in) {
  return (rows > kTile ? kLanePanelOuts * PaddedIn(in) : kTile * kPiece) * kF32Parts * 2;
}

inline __m512bh LoadBf16s(const uint16_t* data) {
  __m512bh v;
  __builtin_memcpy(&v, data, sizeof v);
  return v;
}

// Brings the bytes of a piece closer. The rows of a piece are as many streams, too many for the
// hardware to follow.
inline void PrefetchPiece(const dsv::MatrixView& w, const PieceOfPanel& piece) {
  const int64_t bytes = StoredBytes(w.format, piece.end - piece.begin);
  for (int64_t i = 0; i < piece.outs; ++i) {
    const std::byte* row = RowData(w, piece.out + i) + StoredBytes(w.format, piece.begin);
    for (int64_t b = 0; b < bytes; b += 64) __builtin_prefetch(row + b, 0, 2);
  }
}

// Adds `blocks` blocks of 32 inputs; w has `parts` blocks for every one of x.
template <int64_t kOuts, int64_t kRows>
inline void AddBlocks(const uint16_t* w, int64_t w_stride, int64_t parts, const uint16_t* x,
                      int64_t x_stride, int64_t blocks, Vec (&sum)[kOuts][kRows]) {
  for (int64_t kb = 0; kb < blocks; ++kb, x += dsv::kTileK) {
    __m512bh xs[kRows];
    for (int64_t t = 0; t < kRows; ++t) xs[t] = LoadBf16s(x + t * x_stride);
    for (int64_t part = 0; part < parts; ++part, w += dsv::kTileK) {
      for (int64_t i = 0; i < kOuts; ++i) {
        const __m512bh ws = LoadBf16s(w + i * w_stride);
        for (int64_t t = 0; t < kRows; ++t) sum[i][t] = _mm512_dpbf16_ps(sum[i][t], ws, xs[t]);
      }
    }
  }
}

// Inputs [begin, end) of a tile whose weights are at w. Weights and rows have blocks of 32.
template <int64_t kOuts, int64_t kRows>
inline void AddLanePiece(const dsv::LinearPanel& panel, int64_t out, const uint16_t* w,
                         int64_t w_stride, const uint16_t* x, int64_t begin, int64_t end,
                         Vec (&sum)[kOuts][kRows]) {
  const int64_t parts = SplitsWeight(panel) ? kF32Parts : 1;
  const int64_t x_stride = PaddedIn(panel.weight->in);
  const auto blocks = [](int64_t n) { return (n + dsv::kTileK - 1) / dsv::kTileK; };
  if (!panel.keep_scale) {
    return AddBlocks<kOuts, kRows>(w, w_stride, parts, x + begin, x_stride, blocks(end - begin),
                                   sum);
  }
  for (int64_t k = begin; k < end; k += dsv::kFp8Block) {
    const int64_t count = end - k < dsv::kFp8Block ? end - k : dsv::kFp8Block;
    Vec part[kOuts][kRows];
    SetZero(part);
    AddBlocks<kOuts, kRows>(w + (k - begin), w_stride, 1, x + k, x_stride, blocks(count), part);
    for (int64_t i = 0; i < kOuts; ++i) {
      const Vec scale = Broadcast(BlockScaleF32(*panel.weight, out + i, k));
      for (int64_t t = 0; t < kRows; ++t) sum[i][t] = MulAdd(part[i][t], scale, sum[i][t]);
    }
  }
}

// `expanded` holds all inputs, or is null: then they are expanded in pieces.
template <int64_t kOuts, int64_t kRows>
void LaneTile(const dsv::LinearPanel& panel, const dsv::Bf16Tables& tables, int64_t out,
              const uint16_t* expanded, int64_t stride, const uint16_t* x, float* y) {
  const int64_t in = panel.weight->in;
  Vec sum[kOuts][kRows];
  SetZero(sum);
  if (expanded != nullptr) {
    AddLanePiece<kOuts, kRows>(panel, out, expanded, stride, x, 0, in, sum);
  } else {
    auto* piece = static_cast<uint16_t*>(panel.scratch);
    for (int64_t begin = 0; begin < in; begin += kPiece) {
      const int64_t end = begin + kPiece < in ? begin + kPiece : in;
      if (end < in) {
        const int64_t next = end + kPiece < in ? end + kPiece : in;
        PrefetchPiece(*panel.weight, {out, kOuts, end, next});
      }
      ExpandBf16Piece(panel, tables, {out, kOuts, begin, end},
                      {piece, stride, kHalfLanes});
      AddLanePiece<kOuts, kRows>(panel, out, piece, stride, x, begin, end, sum);
    }
  }
  StoreSums(sum, y, panel.y_stride);
}

using LaneTileFunction = void (*)(const dsv::LinearPanel& panel, const dsv::Bf16Tables& tables,
                                  int64_t out, const uint16_t* expanded, int64_t stride,
                                  const uint16_t* x, float* y);
constexpr LaneTileFunction kLaneTiles[kTile][kTile] = DSV_TILES(LaneTile);

void RunLanePanel(const dsv::LinearPanel& panel, const dsv::Bf16Tables& tables) {
  const int64_t x_stride = PaddedIn(panel.weight->in);
  const int64_t parts = SplitsWeight(panel) ? kF32Parts : 1;
  auto* weights = static_cast<uint16_t*>(panel.scratch);
  const bool many = panel.rows > kTile;
  const int64_t stride = (many ? x_stride : kPiece) * parts;
  if (many) {
    ExpandBf16Piece(panel, tables, {panel.first, panel.outs, 0, panel.weight->in},
                    {weights, stride, kHalfLanes});
  }
  for (int64_t t = 0; t < panel.rows; t += kTile) {
    const int64_t rows = panel.rows - t < kTile ? panel.rows - t : kTile;
    const uint16_t* x = static_cast<const uint16_t*>(panel.x) + t * x_stride;
    for (int64_t i = 0; i < panel.outs; i += kTile) {
      const int64_t outs = panel.outs - i < kTile ? panel.outs - i : kTile;
      kLaneTiles[outs - 1][rows - 1](panel, tables, panel.first + i,
                                     many ? weights + i * stride : nullptr, stride, x,
                                     panel.y + t * panel.y_stride + i);
    }
    if (!panel.round_y) continue;
    for (int64_t r = t; r < t + rows; ++r) {
      RoundToBf16InPlace(panel.y + r * panel.y_stride, panel.outs);
    }
  }
}

constexpr dsv::PanelKernels kLanePanels = {.panel_outs = LanePanelOuts,
                                           .pack_bytes = LanePackBytes,
                                           .pack = LanePackRows,
                                           .scratch_bytes = LaneScratchBytes,
                                           .panel = RunLanePanel};

}  // namespace
