// Panels of a linear product with AMX tiles. Weights are the rows on the left, as they lie in the
// file; activations are packed once into columns on the right. A sum runs over the inputs in blocks
// of 32 whatever the number of rows, and rests in memory between pieces without loss.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/linear_bf16-inl.h"
#include "kernels/cpu/tiles_amx.h"
#include "kernels/kernel_table.h"

namespace {

constexpr int64_t kStrip = 32;       // outputs that are expanded together
constexpr int64_t kPieceIn = 256;    // inputs that are expanded together
constexpr int64_t kAmxPanelOuts = 256;

inline int64_t TileCount(int64_t n, int64_t size) { return (n + size - 1) / size; }

// Rows in the packed form: fewer than 16 stay as they are.
inline int64_t PaddedRows(int64_t rows) { return rows < 16 ? rows : TileCount(rows, 16) * 16; }

int64_t PackBytes(int64_t rows, int64_t in) {
  return TileCount(in, dsv::kTileK) * dsv::kTileK * PaddedRows(rows) * 2;
}

void PackRows(const float* x, int64_t x_stride, int64_t rows, int64_t in, int64_t first,
              int64_t count, void* packed) {
  const int64_t width = rows < 16 ? rows : 16;
  const int64_t k_stride = dsv::kTileK * width;
  const int64_t n_stride = TileCount(in, dsv::kTileK) * k_stride;
  PackColumns(x + first * x_stride, x_stride, count, in,
              static_cast<uint16_t*>(packed) + first / 16 * n_stride, width, k_stride, n_stride);
}

// A strip of weights, all packed rows, a piece of the inputs.
struct StripJob {
  const uint16_t* a;  // [32, a_stride]
  int64_t a_stride;
  int64_t parts;      // tiles of a for every tile of b
  const uint16_t* b;  // of the piece's first input
  int64_t b_k_stride;
  int64_t b_n_stride;
  int64_t k_blocks;
  int64_t width;  // of a tile of b
  float* c;       // [outputs, c_stride]
  int64_t c_stride;
  bool add;
};

template <bool kTwoRows, bool kTwoColumns>
inline void StripTiles(const StripJob& job, const uint16_t* b, float* c) {
  const int64_t a_bytes = job.a_stride * 2;
  const int64_t b_bytes = job.width * 4;
  const int64_t c_bytes = job.c_stride * 4;
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
  const uint16_t* a = job.a;
  for (int64_t kb = 0; kb < job.k_blocks; ++kb, b += job.b_k_stride) {
    _tile_loadd(6, b, b_bytes);
    if (kTwoColumns) _tile_loadd(7, b + job.b_n_stride, b_bytes);
    for (int64_t part = 0; part < job.parts; ++part, a += 32) {
      _tile_loadd(4, a, a_bytes);
      _tile_dpbf16ps(0, 4, 6);
      if (kTwoColumns) _tile_dpbf16ps(1, 4, 7);
      if (kTwoRows) {
        _tile_loadd(5, a + 16 * job.a_stride, a_bytes);
        _tile_dpbf16ps(2, 5, 6);
        if (kTwoColumns) _tile_dpbf16ps(3, 5, 7);
      }
    }
  }
  _tile_stored(0, c, c_bytes);
  if (kTwoColumns) _tile_stored(1, c + 16, c_bytes);
  if (kTwoRows) _tile_stored(2, c1, c_bytes);
  if (kTwoRows && kTwoColumns) _tile_stored(3, c1 + 16, c_bytes);
  TileFence();
}

template <bool kTwoRows>
void RunStrip(const StripJob& job, int64_t row_tiles) {
  int64_t n = 0;
  for (; n + 2 <= row_tiles; n += 2) {
    StripTiles<kTwoRows, true>(job, job.b + n * job.b_n_stride, job.c + n * 16);
  }
  if (n < row_tiles) {
    StripTiles<kTwoRows, false>(job, job.b + n * job.b_n_stride, job.c + n * 16);
  }
}

// sum += part * scale for one output.
inline void AddScaled(const float* part, float scale, int64_t n, float* sum) {
  const __m512 s = _mm512_set1_ps(scale);
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 mask = FloatMask(n - i);
    const __m512 total = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, part + i), s,
                                         _mm512_maskz_loadu_ps(mask, sum + i));
    _mm512_mask_storeu_ps(sum + i, mask, total);
  }
}

// Sums [outs, stride] to y, transposed and rounded.
void WriteOutputs(const dsv::LinearPanel& panel, const float* sums, int64_t stride) {
  for (int64_t i = 0; i < panel.outs; i += 16) {
    const __mmask16 out_mask = FloatMask(panel.outs - i);
    for (int64_t t = 0; t < panel.rows; t += 16) {
      const __mmask16 row_mask = FloatMask(panel.rows - t);
      __m512i tile[16];
      for (int64_t r = 0; r < 16; ++r) {
        const __mmask16 mask = i + r < panel.outs ? row_mask : __mmask16{0};
        tile[r] = _mm512_maskz_loadu_epi32(mask, sums + (i + r) * stride + t);
      }
      Transpose(tile);
      for (int64_t r = 0; r < 16 && t + r < panel.rows; ++r) {
        const __m512 v = _mm512_castsi512_ps(tile[r]);
        _mm512_mask_storeu_ps(panel.y + (t + r) * panel.y_stride + i, out_mask,
                              panel.round_y ? RoundLanesToBf16(v) : v);
      }
    }
  }
}

// The same for one row, whose sums lie one after another.
void WriteOutputs(const dsv::LinearPanel& panel, const float* sums) {
  for (int64_t i = 0; i < panel.outs; i += 16) {
    const __mmask16 mask = FloatMask(panel.outs - i);
    const __m512 v = _mm512_maskz_loadu_ps(mask, sums + i);
    _mm512_mask_storeu_ps(panel.y + i, mask, panel.round_y ? RoundLanesToBf16(v) : v);
  }
}

// Floats of the buffers in scratch: weights of a strip, sums of the panel, sums of a block whose
// scale is kept apart.
constexpr int64_t kStripFloats = kStrip * kPieceIn * kF32Parts / 2;

int64_t AmxScratchBytes(int64_t rows, int64_t /*in*/) {
  const int64_t padded = PaddedRows(rows < dsv::kPanelRows ? rows : dsv::kPanelRows);
  return (kStripFloats + (kAmxPanelOuts + kStrip) * padded) * 4;
}

class AmxPanel {
 public:
  AmxPanel(const dsv::LinearPanel& panel, const dsv::Bf16Tables& tables)
      : panel_(panel),
        tables_(tables),
        width_(panel.rows < 16 ? panel.rows : 16),
        padded_(PaddedRows(panel.rows)),
        k_stride_(dsv::kTileK * width_),
        parts_(SplitsWeight(panel) ? kF32Parts : 1),
        piece_in_(panel.keep_scale ? dsv::kFp8Block : kPieceIn),
        weights_(static_cast<uint16_t*>(panel.scratch)),
        sums_(static_cast<float*>(panel.scratch) + kStripFloats),
        part_sums_(sums_ + kAmxPanelOuts * padded_) {}

  void Run() {
    // Few rows leave their sums in tiles from piece to piece only if a strip is the outer loop.
    if (panel_.rows <= 16) {
      for (int64_t i = 0; i < panel_.outs; i += kStrip) {
        for (int64_t k = 0; k < panel_.weight->in; k += piece_in_) RunPiece(i, k);
      }
    } else {
      for (int64_t k = 0; k < panel_.weight->in; k += piece_in_) {
        for (int64_t i = 0; i < panel_.outs; i += kStrip) RunPiece(i, k);
      }
    }
    _tile_release();
    if (panel_.rows == 1) {
      WriteOutputs(panel_, sums_);
    } else {
      WriteOutputs(panel_, sums_, padded_);
    }
  }

 private:
  PieceOfPanel Piece(int64_t i, int64_t k) const {
    const int64_t outs = panel_.outs - i < kStrip ? panel_.outs - i : kStrip;
    const int64_t in = panel_.weight->in;
    return {panel_.first + i, outs, k, k + piece_in_ < in ? k + piece_in_ : in};
  }

  void RunPiece(int64_t i, int64_t k) {
    const PieceOfPanel piece = Piece(i, k);
    if (k + piece_in_ < panel_.weight->in) PrefetchPiece(*panel_.weight, Piece(i, k + piece_in_));
    const int64_t stride = piece_in_ * parts_;
    ExpandBf16Piece(panel_, tables_, piece, weights_, stride);
    Configure(piece.outs);
    float* sums = sums_ + i * padded_;
    const StripJob job{.a = weights_,
                       .a_stride = stride,
                       .parts = parts_,
                       .b = static_cast<const uint16_t*>(panel_.x) + k / dsv::kTileK * k_stride_,
                       .b_k_stride = k_stride_,
                       .b_n_stride = TileCount(panel_.weight->in, dsv::kTileK) * k_stride_,
                       .k_blocks = TileCount(piece.end - piece.begin, dsv::kTileK),
                       .width = width_,
                       .c = panel_.keep_scale ? part_sums_ : sums,
                       .c_stride = padded_,
                       .add = k > 0 && !panel_.keep_scale};
    const int64_t row_tiles = TileCount(panel_.rows, 16);
    piece.outs > 16 ? RunStrip<true>(job, row_tiles) : RunStrip<false>(job, row_tiles);
    if (!panel_.keep_scale) return;
    for (int64_t r = 0; r < piece.outs; ++r) {
      float* sum = sums + r * padded_;
      if (k == 0) __builtin_memset(sum, 0, static_cast<size_t>(padded_) * 4);
      AddScaled(part_sums_ + r * padded_, BlockScaleF32(*panel_.weight, piece.out + r, k), padded_,
                sum);
    }
  }

  void Configure(int64_t outs) {
    if (outs == configured_) return;
    ConfigureTiles(outs, width_);
    configured_ = outs;
  }

  const dsv::LinearPanel& panel_;
  const dsv::Bf16Tables& tables_;
  int64_t width_;
  int64_t padded_;
  int64_t k_stride_;
  int64_t parts_;
  int64_t piece_in_;
  uint16_t* weights_;  // [kStrip, piece_in * parts]
  float* sums_;        // [outs, padded]
  float* part_sums_;   // [kStrip, padded]
  int64_t configured_ = 0;
};

void RunAmxPanel(const dsv::LinearPanel& panel, const dsv::Bf16Tables& tables) {
  AmxPanel(panel, tables).Run();
}

constexpr dsv::PanelKernels kAmxPanels = {.panel_outs = kAmxPanelOuts,
                                          .pack_bytes = PackBytes,
                                          .pack = PackRows,
                                          .scratch_bytes = AmxScratchBytes,
                                          .panel = RunAmxPanel};

}  // namespace
