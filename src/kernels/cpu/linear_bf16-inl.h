// Weights to bf16, a piece of a panel at a time, for products with packed activations.
#pragma once

#include "kernels/cpu/bf16-inl.h"
#include "kernels/cpu/expand-inl.h"
#include "kernels/kernel_table.h"

namespace {

// An F32 weight that may not be rounded is the sum of three bf16 values, exactly: its leading
// eight mantissa bits, the next eight and the last eight.
constexpr int64_t kF32Parts = 3;

inline bool SplitsWeight(const dsv::LinearPanel& panel) {
  return panel.weight->format == dsv::MatrixFormat::kF32 && !panel.round_weight;
}

inline __m512i HighHalves(__m512 first, __m512 second) {
  const __m512i high = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35,
                                        33, 31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3,
                                        1);
  return _mm512_permutex2var_epi16(_mm512_castps_si512(first), high, _mm512_castps_si512(second));
}

inline __m512 Truncate(__m512 v) {
  return _mm512_castsi512_ps(
      _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(static_cast<int>(0xFFFF0000U))));
}

// Every 32 floats become three blocks: leading parts, middle ones and last ones.
void SplitFloats(const std::byte* data, int64_t n, uint16_t* out, int64_t stride) {
  for (int64_t i = 0; i < n; i += kHalfLanes, out += kF32Parts * stride) {
    __m512 first = _mm512_maskz_loadu_ps(FloatMask(n - i), data + 4 * i);
    __m512 second = _mm512_maskz_loadu_ps(FloatMask(n - i - 16), data + 4 * (i + 16));
    for (int64_t part = 0; part < kF32Parts; ++part) {
      _mm512_storeu_si512(out + part * stride, HighHalves(first, second));
      first = _mm512_sub_ps(first, Truncate(first));
      second = _mm512_sub_ps(second, Truncate(second));
    }
  }
}

void RoundStoredFloats(const std::byte* data, int64_t n, uint16_t* out, int64_t stride) {
  for (int64_t i = 0; i < n; i += kHalfLanes, out += stride) {
    _mm512_storeu_si512(out,
                        RoundPair(_mm512_maskz_loadu_ps(FloatMask(n - i), data + 4 * i),
                                  _mm512_maskz_loadu_ps(FloatMask(n - i - 16), data + 4 * (i + 16))));
  }
}

// Stored bytes of `count` inputs of a row.
inline int64_t StoredBytes(dsv::MatrixFormat format, int64_t count) {
  switch (format) {
    case dsv::MatrixFormat::kF32:
      return count * 4;
    case dsv::MatrixFormat::kBF16:
      return count * 2;
    case dsv::MatrixFormat::kFp4E8M0:
      return count / 2;
    default:
      return count;
  }
}

inline const std::byte* RowData(const dsv::MatrixView& w, int64_t row) {
  return w.data + StoredBytes(w.format, row * w.in);
}

// Inputs of a row that lie in a line of memory, at least a block of 32.
inline int64_t LineInputs(dsv::MatrixFormat format) {
  switch (format) {
    case dsv::MatrixFormat::kFp4E8M0:
      return 128;
    case dsv::MatrixFormat::kFp8E8M0:
    case dsv::MatrixFormat::kFp8F32:
      return 64;
    default:
      return 32;
  }
}

// Inputs [begin, end) of the rows out, out + step, ...; `begin` is a multiple of LineInputs.
struct PieceOfPanel {
  int64_t out;
  int64_t outs;
  int64_t begin;
  int64_t end;
  int64_t step = 1;
  int64_t ahead = 0;  // bytes from what is expanded to what is fetched meanwhile, if any
};

// The loads of an expansion and the fetches of a later one share the time best if they take turns.
inline void FetchAhead(const void* data, int64_t ahead, int64_t bytes) {
  if (ahead == 0) return;
  const std::byte* const first = static_cast<const std::byte*>(data) + ahead;
  for (int64_t b = 0; b < bytes; b += 64) __builtin_prefetch(first + b);
}

// Where a piece is expanded to: blocks of 32 inputs, in elements apart.
struct PieceLayout {
  uint16_t* values;
  int64_t row_stride;
  int64_t block_stride;
};

// Calls body with the count, which the compiler knows if it is a usual one.
template <int64_t kLineInputs, class Body>
inline void WithCount(int64_t count, const Body& body) {
  if (count == kLineInputs) {
    body(kLineInputs);
  } else if (count == dsv::kFp8Block) {
    body(dsv::kFp8Block);
  } else {
    body(count);
  }
}

// E4M3 with a table for every block of 128 x 128.
void ExpandFp8Piece(const dsv::LinearPanel& panel, const dsv::Bf16Tables& tables,
                    const PieceOfPanel& piece, const PieceLayout& layout) {
  const dsv::MatrixView& w = *panel.weight;
  for (int64_t k = piece.begin; k < piece.end; k += dsv::kFp8Block) {
    const int64_t count = piece.end - k < dsv::kFp8Block ? piece.end - k : dsv::kFp8Block;
    for (int64_t i = 0; i < piece.outs;) {
      const int64_t row = piece.out + i * piece.step;
      // kFp8F32 with its scale kept apart: codes as they are.
      const auto scale = panel.keep_scale
                             ? 127
                             : static_cast<uint8_t>(w.scale[BlockIndex(w, row, k)]);
      const E4m3Lookup lookup(tables.e4m3[scale]);
      const int64_t left = dsv::kFp8Block - row % dsv::kFp8Block;  // of the block of scales
      const int64_t same = i + (left + piece.step - 1) / piece.step;
      const int64_t last = same < piece.outs ? same : piece.outs;
      const std::byte* data = RowData(w, row) + k;
      uint16_t* out = layout.values + i * layout.row_stride +
                      (k - piece.begin) / kHalfLanes * layout.block_stride;
      const int64_t rows = last - i;
      WithCount<64>(
          count, [&](int64_t n) __attribute__((always_inline)) {
            for (int64_t r = 0; r < rows; ++r) {
              const std::byte* const bytes = data + r * piece.step * w.in;
              FetchAhead(bytes, piece.ahead, n);
              ExpandE4m3Row(bytes, n, lookup, out + r * layout.row_stride, layout.block_stride);
            }
          });
      i = last;
    }
  }
}

// A scale in F32 that is multiplied in needs floats and a rounding.
void ExpandFp8F32Row(const dsv::MatrixView& w, int64_t row, int64_t begin, int64_t count,
                     uint16_t* values, int64_t stride) {
  for (int64_t i = 0; i < count; i += dsv::kFp8Block) {
    float floats[dsv::kFp8Block];
    const int64_t n = count - i < dsv::kFp8Block ? count - i : dsv::kFp8Block;
    ExpandRowPart(w, row, begin + i, n, false, floats);
    RoundStoredFloats(reinterpret_cast<const std::byte*>(floats), n,
                      values + i / kHalfLanes * stride, stride);
  }
}

void ExpandFp4Piece(const dsv::MatrixView& w, const dsv::Bf16Tables& tables,
                    const PieceOfPanel& piece, const PieceLayout& layout) {
  const std::byte* data = RowData(w, piece.out) + piece.begin / 2;
  const auto* scales = reinterpret_cast<const uint8_t*>(w.scale) +
                       (piece.out * w.in + piece.begin) / dsv::kFp4Block;
  constexpr int64_t kBytesOfScale = dsv::kFp4Block / 2;
  const int64_t data_stride = piece.step * (w.in / 2);
  const int64_t scale_stride = piece.step * (w.in / dsv::kFp4Block);
  WithCount<128>(
      piece.end - piece.begin, [&](int64_t n) __attribute__((always_inline)) {
        for (int64_t i = 0; i < piece.outs; ++i) {
          FetchAhead(data + i * data_stride, piece.ahead, n / 2);
          FetchAhead(scales + i * scale_stride, piece.ahead / kBytesOfScale, 1);
          ExpandE2m1Row(data + i * data_stride, scales + i * scale_stride, n, tables,
                        layout.values + i * layout.row_stride, layout.block_stride);
        }
      });
}

// Inputs of an F32 row, or of a kFp8F32 row whose scale is multiplied in.
void ExpandRowToBf16(const dsv::LinearPanel& panel, int64_t row, int64_t begin, int64_t count,
                     uint16_t* out, int64_t stride) {
  const dsv::MatrixView& w = *panel.weight;
  const int64_t at = row * w.in + begin;
  if (w.format == dsv::MatrixFormat::kFp8F32) {
    ExpandFp8F32Row(w, row, begin, count, out, stride);
  } else if (SplitsWeight(panel)) {
    SplitFloats(w.data + at * 4, count, out, stride);
  } else {
    RoundStoredFloats(w.data + at * 4, count, out, stride);
  }
}

void ExpandBf16Piece(const dsv::LinearPanel& panel, const dsv::Bf16Tables& tables,
                     const PieceOfPanel& piece, const PieceLayout& layout) {
  const dsv::MatrixView& w = *panel.weight;
  if (w.format == dsv::MatrixFormat::kFp4E8M0) return ExpandFp4Piece(w, tables, piece, layout);
  const bool by_table = w.format == dsv::MatrixFormat::kFp8E8M0 ||
                        (w.format == dsv::MatrixFormat::kFp8F32 && panel.keep_scale);
  if (by_table) return ExpandFp8Piece(panel, tables, piece, layout);
  if (w.format == dsv::MatrixFormat::kBF16) {
    const std::byte* data = RowData(w, piece.out) + piece.begin * 2;
    WithCount<32>(
        piece.end - piece.begin, [&](int64_t n) __attribute__((always_inline)) {
          for (int64_t i = 0; i < piece.outs; ++i) {
            const std::byte* const bytes = data + i * piece.step * w.in * 2;
            FetchAhead(bytes, piece.ahead, n * 2);
            CopyBf16Row(bytes, n, layout.values + i * layout.row_stride, layout.block_stride);
          }
        });
    return;
  }
  const int64_t count = piece.end - piece.begin;
  for (int64_t i = 0; i < piece.outs; ++i) {
    const int64_t row = piece.out + i * piece.step;
    FetchAhead(RowData(w, row) + StoredBytes(w.format, piece.begin), piece.ahead,
               StoredBytes(w.format, count));
    ExpandRowToBf16(panel, row, piece.begin, count, layout.values + i * layout.row_stride,
                    layout.block_stride);
  }
}

}  // namespace
