// Panels of a linear product with AMX tiles. Weights are the rows on the left, as they lie in the
// file; activations are packed once into columns on the right. A sum runs over the inputs in blocks
// of 32 whatever the number of rows, and rests in memory between pieces without loss.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/linear_bf16-inl.h"
#include "kernels/cpu/tiles_amx.h"
#include "kernels/kernel_table.h"

namespace {

constexpr int64_t kStrip = 32;        // the most outputs that are expanded together
constexpr int64_t kStepIn = 128;      // the most inputs that are expanded together
constexpr int64_t kPieceIn = 2048;    // inputs that are expanded before many rows pass by
constexpr int64_t kPackedIn = 256;    // inputs of a piece of packed rows
constexpr int64_t kAheadBytes = 512;  // of a row that are fetched before they are expanded
constexpr int64_t kStripTiles = 3;    // tiles of rows whose sums fit into tiles

inline int64_t TileCount(int64_t n, int64_t size) { return (n + size - 1) / size; }

// Rows in the packed form: fewer than 16 stay as they are.
inline int64_t PaddedRows(int64_t rows) { return rows < 16 ? rows : TileCount(rows, 16) * 16; }

int64_t PackBytes(int64_t rows, int64_t in) {
  return TileCount(in, dsv::kTileK) * dsv::kTileK * PaddedRows(rows) * 2;
}

constexpr int64_t kPieceBlocks = kPackedIn / dsv::kTileK;

// Packed rows lie as [piece of inputs][tile of rows][k block][16 pairs][width][2], so that the rows
// of a piece are read in the order of memory. Where a tile of them begins, in elements:
struct PackedLayout {
  PackedLayout(int64_t rows, int64_t in)
      : width(rows < 16 ? rows : 16),
        row_tiles(TileCount(rows, 16)),
        blocks(TileCount(in, dsv::kTileK)) {}

  int64_t tile() const { return dsv::kTileK * width; }
  // Between tiles of rows in the piece of a block.
  int64_t RowStride(int64_t block) const {
    const int64_t rest = blocks - block / kPieceBlocks * kPieceBlocks;
    return tile() * (rest < kPieceBlocks ? rest : kPieceBlocks);
  }
  int64_t Offset(int64_t block, int64_t row_tile) const {
    const int64_t first = block / kPieceBlocks * kPieceBlocks;
    return tile() * (first * row_tiles + (block - first)) + RowStride(block) * row_tile;
  }

  int64_t width;
  int64_t row_tiles;
  int64_t blocks;
};

void PackRows(const float* x, int64_t x_stride, int64_t rows, int64_t in, int64_t first,
              int64_t count, void* packed) {
  const PackedLayout layout(rows, in);
  auto* values = static_cast<uint16_t*>(packed);
  if (rows == 1) return RoundToBf16(x, in, values);
  for (int64_t block = 0; block < layout.blocks; ++block) {
    PackTile(x + first * x_stride + block * dsv::kTileK, x_stride, count,
             in - block * dsv::kTileK, values + layout.Offset(block, first / 16), layout.width);
  }
}

// Some blocks of 32 inputs of a strip and up to three tiles of rows. Every tile lies in one piece:
// weights as [k block][part][upper, lower][16][32], sums as [tile of rows][upper, lower][16][width].
// Strips of 16 outputs have no lower ones.
struct TilesJob {
  const uint16_t* a;
  int64_t a_stride;  // between parts
  int64_t parts;  // tiles of a for every tile of b
  const uint16_t* b;
  int64_t b_row_stride;  // between tiles of rows
  int64_t width;         // of a tile of b
};

constexpr int64_t kTileElements = 16 * 32;

// Sums 0 to 2 are those of the upper outputs, 3 to 5 of the lower ones.
template <int kRowTiles, bool kTwo>
inline void MultiplyTiles(const TilesJob& job, int64_t k_blocks) {
  const int64_t width_bytes = job.width * 4;
  const int64_t a_stride = job.a_stride;
  const int64_t b_tile = job.b_row_stride;
  const uint16_t* a = job.a;
  const uint16_t* b = job.b;
  for (int64_t kb = 0; kb < k_blocks; ++kb, b += 32 * job.width) {
    for (int64_t part = 0; part < job.parts; ++part, a += a_stride) {
      _tile_loadd(6, a, 64);
      _tile_loadd(7, b, width_bytes);
      _tile_dpbf16ps(0, 6, 7);
      if constexpr (kRowTiles == 1) {
        if (kTwo) {
          _tile_loadd(5, a + kTileElements, 64);
          _tile_dpbf16ps(3, 5, 7);
        }
      } else if constexpr (kRowTiles == 2) {
        _tile_loadd(2, b + b_tile, width_bytes);
        _tile_dpbf16ps(1, 6, 2);
        if (kTwo) {
          _tile_loadd(5, a + kTileElements, 64);
          _tile_dpbf16ps(3, 5, 7);
          _tile_dpbf16ps(4, 5, 2);
        }
      } else {
        _tile_loadd(7, b + b_tile, width_bytes);
        _tile_dpbf16ps(1, 6, 7);
        _tile_loadd(7, b + 2 * b_tile, width_bytes);
        _tile_dpbf16ps(2, 6, 7);
        if (kTwo) {
          _tile_loadd(6, a + kTileElements, 64);
          _tile_dpbf16ps(5, 6, 7);
          _tile_loadd(7, b, width_bytes);
          _tile_dpbf16ps(3, 6, 7);
          _tile_loadd(7, b + b_tile, width_bytes);
          _tile_dpbf16ps(4, 6, 7);
        }
      }
    }
  }
}

template <int kRowTiles, bool kTwo>
inline void ZeroSums() {
  _tile_zero(0);
  if (kTwo) _tile_zero(3);
  if constexpr (kRowTiles > 1) {
    _tile_zero(1);
    if (kTwo) _tile_zero(4);
  }
  if constexpr (kRowTiles > 2) {
    _tile_zero(2);
    if (kTwo) _tile_zero(5);
  }
}

template <int kRowTiles, bool kTwo>
inline void LoadSums(const float* c, int64_t width) {
  const int64_t tile = 16 * width;
  _tile_loadd(0, c, width * 4);
  if (kTwo) _tile_loadd(3, c + tile, width * 4);
  if constexpr (kRowTiles > 1) {
    _tile_loadd(1, c + 2 * tile, width * 4);
    if (kTwo) _tile_loadd(4, c + 3 * tile, width * 4);
  }
  if constexpr (kRowTiles > 2) {
    _tile_loadd(2, c + 4 * tile, width * 4);
    if (kTwo) _tile_loadd(5, c + 5 * tile, width * 4);
  }
}

template <int kRowTiles, bool kTwo>
inline void StoreTileSums(float* c, int64_t width) {
  const int64_t tile = 16 * width;
  _tile_stored(0, c, width * 4);
  if (kTwo) _tile_stored(3, c + tile, width * 4);
  if constexpr (kRowTiles > 1) {
    _tile_stored(1, c + 2 * tile, width * 4);
    if (kTwo) _tile_stored(4, c + 3 * tile, width * 4);
  }
  if constexpr (kRowTiles > 2) {
    _tile_stored(2, c + 4 * tile, width * 4);
    if (kTwo) _tile_stored(5, c + 5 * tile, width * 4);
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

// Elements of a step's weights whose parts are one.
constexpr int64_t kStepElements = kStrip * kStepIn;

// Few rows leave room for more outputs, whose weights are then read in longer pieces.
bool HasFewRows(int64_t rows) { return rows <= kStripTiles * 16; }
int64_t AmxPanelOuts(int64_t rows) { return HasFewRows(rows) ? 1024 : 256; }

// Weights of a piece for all strips; of few rows one step of all strips, or a few of one strip.
int64_t WeightElements(int64_t rows) {
  const int64_t steps = HasFewRows(rows) ? 1 : kPieceIn / kStepIn;
  return steps * AmxPanelOuts(rows) / kStrip * kStepElements;
}
static_assert(2 * kF32Parts <= 1024 / kStrip);

int64_t AmxScratchBytes(int64_t rows, int64_t /*in*/) {
  const int64_t part_sums = kStripTiles * 16 * kStrip;
  return WeightElements(rows) * 2 + (AmxPanelOuts(rows) * PaddedRows(rows) + part_sums) * 4;
}

// Outputs of a strip: the fewer rows of weights take turns, the better the hardware fetches them;
// tiles of rows that share them ask for more.
int64_t StripOuts(int64_t rows) { return rows <= 16 ? kStrip / 2 : kStrip; }

int64_t InterleaveBits(const dsv::LinearPanel& panel, int64_t strip_outs) {
  constexpr int64_t kPage = 4096;
  const int64_t row = StoredBytes(panel.weight->format, panel.weight->in);
  int64_t bits = 0;
  while (row << (bits + 1) <= kPage && panel.outs % (strip_outs << (bits + 1)) == 0) ++bits;
  return bits;
}

class AmxPanel {
 public:
  AmxPanel(const dsv::LinearPanel& panel, const dsv::Bf16Tables& tables)
      : panel_(panel),
        tables_(tables),
        in_(panel.weight->in),
        layout_(panel.rows, in_),
        width_(panel.rows < 16 ? panel.rows : 16),
        row_tiles_(TileCount(panel.rows, 16)),
        parts_(SplitsWeight(panel) ? kF32Parts : 1),
        step_in_(LineInputs(panel.weight->format)),
        steps_(TileCount(in_, step_in_)),
        strip_outs_(StripOuts(panel.rows)),
        strips_(TileCount(panel.outs, strip_outs_)),
        interleave_bits_(InterleaveBits(panel, strip_outs_)),
        interleave_(int64_t{1} << interleave_bits_),
        weights_(static_cast<uint16_t*>(panel.scratch)),
        sums_(reinterpret_cast<float*>(weights_ + WeightElements(panel.rows))),
        part_sums_(sums_ + AmxPanelOuts(panel.rows) * PaddedRows(panel.rows)) {}

  void Run() {
    if (row_tiles_ <= kStripTiles && !panel_.keep_scale) {
      RunStrips();
    } else {
      RunPieces();
    }
    _tile_release();
    Write();
  }

 private:
  int64_t OutsOf(int64_t strip) const {
    const int64_t rest = panel_.outs - strip * strip_outs_;
    return rest < strip_outs_ ? rest : strip_outs_;
  }
  // Elements of a part of a block of 32 inputs of a strip, and of a step's weights.
  int64_t PartStride() const { return strip_outs_ * dsv::kTileK; }
  int64_t StepStride() const { return step_in_ / dsv::kTileK * parts_ * PartStride(); }
  float* SumsOf(int64_t strip) const { return sums_ + strip * row_tiles_ * strip_outs_ * width_; }
  int64_t BlocksOf(int64_t step) const {
    const int64_t rest = in_ - step * step_in_;
    return TileCount(rest < step_in_ ? rest : step_in_, dsv::kTileK);
  }

  // The first output of a strip; the others follow `interleave_` apart.
  int64_t FirstOf(int64_t strip) const {
    const int64_t group = strip >> interleave_bits_;
    return panel_.first + group * interleave_ * strip_outs_ + (strip & (interleave_ - 1));
  }
  // The sums of an output of the panel for a tile of rows.
  const float* SumsOf(int64_t out, int64_t row_tile) const {
    const int64_t group = out / strip_outs_ >> interleave_bits_;
    const int64_t rest = out & (interleave_ * strip_outs_ - 1);
    const int64_t strip = group * interleave_ + (rest & (interleave_ - 1));
    return sums_ +
           ((strip * row_tiles_ + row_tile) * strip_outs_ + (rest >> interleave_bits_)) * width_;
  }

  struct StepRange {
    int64_t first;
    int64_t count;
  };

  int64_t BytesBefore(int64_t step) const {
    const int64_t begin = step * step_in_;
    return StoredBytes(panel_.weight->format, begin < in_ ? begin : in_);
  }

  // Of a range of steps the next bytes of the same rows are fetched; at its end the first ones of
  // the next strip.
  int64_t BytesAhead(int64_t strip, int64_t step, const StepRange& range) const {
    const int64_t left = BytesBefore(range.first + range.count) - BytesBefore(step);
    if (kAheadBytes < left) return kAheadBytes;
    const int64_t rows = FirstOf(strip + 1) - FirstOf(strip);
    return rows * BytesBefore(steps_) + kAheadBytes -
           (BytesBefore(range.first + range.count) - BytesBefore(range.first));
  }

  void ExpandStep(int64_t strip, int64_t step, const StepRange& range, uint16_t* weights) const {
    const int64_t outs = OutsOf(strip);
    const int64_t end = (step + 1) * step_in_;
    for (int64_t i = 0; i < outs; i += 16) {
      const PieceOfPanel piece{.out = FirstOf(strip) + i * interleave_,
                               .outs = outs - i < 16 ? outs - i : 16,
                               .begin = step * step_in_,
                               .end = end < in_ ? end : in_,
                               .step = interleave_,
                               .ahead = BytesAhead(strip, step, range)};
      ExpandBf16Piece(panel_, tables_, piece,
                      {weights + i / 16 * kTileElements, dsv::kTileK, PartStride()});
    }
  }

  TilesJob JobOf(int64_t step, int64_t row_tile, const uint16_t* weights) const {
    const int64_t block = step * (step_in_ / dsv::kTileK);
    return {.a = weights,
            .a_stride = PartStride(),
            .parts = parts_,
            .b = static_cast<const uint16_t*>(panel_.x) + layout_.Offset(block, row_tile),
            .b_row_stride = layout_.RowStride(block),
            .width = width_};
  }

  // Few rows: their sums stay in tiles over all inputs.
  void RunStrips() {
    switch (row_tiles_) {
      case 1:
        return RunStripsOf<1>();
      case 2:
        return RunStripsOf<2>();
      default:
        return RunStripsOf<3>();
    }
  }

  // While a step is multiplied the next one is expanded, be it of the next strip: the core does
  // both at once. No more than the two are kept: they stay in the first-level cache.
  template <int kRowTiles>
  void RunStripsOf() {
    Configure<kRowTiles>();
    uint16_t* weights = weights_;
    uint16_t* others = weights_ + StepStride();
    StripStep last{0, -1};
    for (int64_t strip = 0; strip < strips_; ++strip) {
      for (int64_t step = 0; step < steps_; ++step) {
        ExpandStep(strip, step, {0, steps_}, weights);
        if (last.step >= 0) MultiplyStep<kRowTiles>(last, others);
        last = {strip, step};
        uint16_t* const free = others;
        others = weights;
        weights = free;
      }
    }
    MultiplyStep<kRowTiles>(last, others);
  }

  struct StripStep {
    int64_t strip;
    int64_t step;
  };

  template <int kRowTiles>
  void MultiplyStep(const StripStep& at, const uint16_t* weights) const {
    TileFence();
    OutsOf(at.strip) > 16 ? MultiplyStepOf<kRowTiles, true>(at, weights)
                          : MultiplyStepOf<kRowTiles, false>(at, weights);
    TileFence();
  }

  template <int kRowTiles, bool kTwo>
  void MultiplyStepOf(const StripStep& at, const uint16_t* weights) const {
    if (at.step == 0) ZeroSums<kRowTiles, kTwo>();
    MultiplyTiles<kRowTiles, kTwo>(JobOf(at.step, 0, weights), BlocksOf(at.step));
    if (at.step + 1 == steps_) StoreTileSums<kRowTiles, kTwo>(SumsOf(at.strip), width_);
  }

  // Many rows: the weights of a piece of the inputs are expanded for all strips and stay in the
  // second-level cache while the rows pass by.
  void RunPieces() {
    const int64_t piece_in = panel_.keep_scale ? dsv::kFp8Block : kPieceIn;
    const int64_t piece_steps = piece_in / step_in_ / parts_;
    for (int64_t first = 0; first < steps_; first += piece_steps) {
      const int64_t rest = steps_ - first;
      const StepRange range{first, rest < piece_steps ? rest : piece_steps};
      for (int64_t strip = 0; strip < strips_; ++strip) {
        for (int64_t s = 0; s < range.count; ++s) {
          ExpandStep(strip, first + s, range, PieceWeights(range, strip, s));
        }
      }
      TileFence();
      for (int64_t n = 0; n < row_tiles_; n += kStripTiles) MultiplyGroup(range, n);
    }
  }

  uint16_t* PieceWeights(const StepRange& range, int64_t strip, int64_t step) const {
    return weights_ + (strip * range.count + step) * StepStride();
  }

  // Up to three tiles of rows from `row_tile` on, all strips.
  void MultiplyGroup(const StepRange& range, int64_t row_tile) {
    const int64_t tiles = row_tiles_ - row_tile;
    for (int64_t strip = 0; strip < strips_; ++strip) {
      const bool two = OutsOf(strip) > 16;
      if (tiles >= 3) {
        two ? RunGroup<3, true>(range, strip, row_tile) : RunGroup<3, false>(range, strip, row_tile);
      } else if (tiles == 2) {
        two ? RunGroup<2, true>(range, strip, row_tile) : RunGroup<2, false>(range, strip, row_tile);
      } else {
        two ? RunGroup<1, true>(range, strip, row_tile) : RunGroup<1, false>(range, strip, row_tile);
      }
    }
  }

  template <int kRowTiles, bool kTwo>
  void RunGroup(const StepRange& range, int64_t strip, int64_t row_tile) {
    Configure<kRowTiles>();
    float* sums = SumsOf(strip) + row_tile * strip_outs_ * width_;
    if (panel_.keep_scale || range.first == 0) {
      ZeroSums<kRowTiles, kTwo>();
    } else {
      LoadSums<kRowTiles, kTwo>(sums, width_);
    }
    for (int64_t s = 0; s < range.count; ++s) {
      const TilesJob job = JobOf(range.first + s, row_tile, PieceWeights(range, strip, s));
      MultiplyTiles<kRowTiles, kTwo>(job, BlocksOf(range.first + s));
    }
    StoreTileSums<kRowTiles, kTwo>(panel_.keep_scale ? part_sums_ : sums, width_);
    TileFence();
    if (panel_.keep_scale) AddPartSums(range, strip, kRowTiles, sums);
  }

  void AddPartSums(const StepRange& range, int64_t strip, int64_t tiles, float* sums) const {
    if (range.first == 0) {
      __builtin_memset(sums, 0, static_cast<size_t>(tiles * strip_outs_ * width_) * 4);
    }
    for (int64_t r = 0; r < OutsOf(strip); ++r) {
      const float scale =
          BlockScaleF32(*panel_.weight, FirstOf(strip) + r * interleave_, range.first * step_in_);
      for (int64_t n = 0; n < tiles; ++n) {
        const int64_t at = (n * strip_outs_ + r) * width_;
        AddScaled(part_sums_ + at, scale, width_, sums + at);
      }
    }
  }

  void Write() const {
    if (panel_.rows == 1) return WriteRow();
    for (int64_t n = 0; n < row_tiles_; ++n) {
      const int64_t rows = panel_.rows - n * 16 < 16 ? panel_.rows - n * 16 : 16;
      for (int64_t i = 0; i < panel_.outs; i += 16) {
        const int64_t outs = panel_.outs - i < 16 ? panel_.outs - i : 16;
        WriteTile(n, i, outs, rows, panel_.y + n * 16 * panel_.y_stride + i);
      }
    }
  }

  // One row: the sums of a strip lie together.
  void WriteRow() const {
    const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i to = _mm512_mullo_epi32(lanes, _mm512_set1_epi32(static_cast<int>(interleave_)));
    for (int64_t strip = 0; strip < strips_; ++strip) {
      const __mmask16 outs = FloatMask(OutsOf(strip));
      const __m512 sums = _mm512_maskz_loadu_ps(outs, SumsOf(strip));
      _mm512_mask_i32scatter_ps(panel_.y + (FirstOf(strip) - panel_.first), outs, to,
                                panel_.round_y ? RoundLanesToBf16(sums) : sums, 4);
    }
  }

  // Up to 16 outputs from `out` on for the rows of a tile.
  void WriteTile(int64_t row_tile, int64_t out, int64_t outs, int64_t rows, float* y) const {
    __m512i tile[16];
    for (int64_t r = 0; r < 16; ++r) {
      tile[r] = r < outs ? _mm512_maskz_loadu_epi32(FloatMask(width_), SumsOf(out + r, row_tile))
                         : _mm512_setzero_si512();
    }
    Transpose(tile);
    for (int64_t r = 0; r < rows; ++r) {
      const __m512 v = _mm512_castsi512_ps(tile[r]);
      _mm512_mask_storeu_ps(y + r * panel_.y_stride, FloatMask(outs),
                            panel_.round_y ? RoundLanesToBf16(v) : v);
    }
  }

  // Tiles have all their rows: those of outputs that do not exist hold anything and are not read.
  template <int kRowTiles>
  void Configure() {
    constexpr int kUse = kRowTiles == 3 ? 2 : 1;
    if (configured_ == kUse) return;
    TileConfig config;
    for (int tile = 0; tile < 8; ++tile) config.Set(tile, 16, 4 * width_);
    if (kUse == 1) config.Set(5, 16, 64);
    config.Set(6, 16, 64);
    LoadTileConfig(config);
    configured_ = kUse;
  }

  const dsv::LinearPanel& panel_;
  const dsv::Bf16Tables& tables_;
  int64_t in_;
  PackedLayout layout_;
  int64_t width_;
  int64_t row_tiles_;
  int64_t parts_;
  int64_t step_in_;
  int64_t steps_;
  int64_t strip_outs_;
  int64_t strips_;
  // Short rows that share a page of 4096 bytes go to different strips: what fetches memory ahead
  // follows one stream in a page, and so gets twice as much as with several rows in turn.
  int64_t interleave_bits_;
  int64_t interleave_;  // a power of two
  uint16_t* weights_;
  float* sums_;
  float* part_sums_;
  int configured_ = 0;
};

void RunAmxPanel(const dsv::LinearPanel& panel, const dsv::Bf16Tables& tables) {
  AmxPanel(panel, tables).Run();
}

constexpr dsv::PanelKernels kAmxPanels = {.panel_outs = AmxPanelOuts,
                                          .pack_bytes = PackBytes,
                                          .pack = PackRows,
                                          .scratch_bytes = AmxScratchBytes,
                                          .panel = RunAmxPanel};

}  // namespace
