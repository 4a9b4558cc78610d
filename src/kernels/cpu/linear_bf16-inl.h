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

// Every 32 floats become 32 leading parts, 32 middle ones and 32 last ones.
void SplitFloats(const std::byte* data, int64_t n, uint16_t* out) {
  for (int64_t i = 0; i < n; i += kHalfLanes, out += kF32Parts * kHalfLanes) {
    __m512 first = _mm512_maskz_loadu_ps(FloatMask(n - i), data + 4 * i);
    __m512 second = _mm512_maskz_loadu_ps(FloatMask(n - i - 16), data + 4 * (i + 16));
    for (int64_t part = 0; part < kF32Parts; ++part) {
      _mm512_storeu_si512(out + part * kHalfLanes, HighHalves(first, second));
      first = _mm512_sub_ps(first, Truncate(first));
      second = _mm512_sub_ps(second, Truncate(second));
    }
  }
}

void RoundStoredFloats(const std::byte* data, int64_t n, uint16_t* out) {
  for (int64_t i = 0; i < n; i += kHalfLanes) {
    _mm512_storeu_si512(out + i,
                        RoundPair(_mm512_maskz_loadu_ps(FloatMask(n - i), data + 4 * i),
                                  _mm512_maskz_loadu_ps(FloatMask(n - i - 16), data + 4 * (i + 16))));
  }
}

// Inputs [begin, end) of `outs` rows from `out` on; `stride` elements apart.
struct PieceOfPanel {
  int64_t out;
  int64_t outs;
  int64_t begin;  // a multiple of 128
  int64_t end;
};

// E4M3 with a table for every block of 128 x 128.
void ExpandFp8Piece(const dsv::LinearPanel& panel, const dsv::Bf16Tables& tables,
                    const PieceOfPanel& piece, uint16_t* values, int64_t stride) {
  const dsv::MatrixView& w = *panel.weight;
  for (int64_t k = piece.begin; k < piece.end; k += dsv::kFp8Block) {
    const int64_t count = piece.end - k < dsv::kFp8Block ? piece.end - k : dsv::kFp8Block;
    for (int64_t i = 0; i < piece.outs;) {
      const int64_t row = piece.out + i;
      // kFp8F32 with its scale kept apart: codes as they are.
      const auto scale = panel.keep_scale
                             ? 127
                             : static_cast<uint8_t>(w.scale[BlockIndex(w, row, k)]);
      const E4m3Lookup lookup(tables.e4m3[scale]);
      const int64_t block_end = (row / dsv::kFp8Block + 1) * dsv::kFp8Block - piece.out;
      const int64_t last = block_end < piece.outs ? block_end : piece.outs;
      for (; i < last; ++i) {
        ExpandE4m3Row(w.data + (piece.out + i) * w.in + k, count, lookup,
                      values + i * stride + (k - piece.begin));
      }
    }
  }
}

// A scale in F32 that is multiplied in needs floats and a rounding.
void ExpandFp8F32Row(const dsv::MatrixView& w, int64_t row, int64_t begin, int64_t count,
                     uint16_t* values) {
  for (int64_t i = 0; i < count; i += dsv::kFp8Block) {
    float floats[dsv::kFp8Block];
    const int64_t n = count - i < dsv::kFp8Block ? count - i : dsv::kFp8Block;
    ExpandRowPart(w, row, begin + i, n, false, floats);
    RoundToBf16(floats, n, values + i);
  }
}

void ExpandBf16Piece(const dsv::LinearPanel& panel, const dsv::Bf16Tables& tables,
                     const PieceOfPanel& piece, uint16_t* values, int64_t stride) {
  const dsv::MatrixView& w = *panel.weight;
  const bool by_table = w.format == dsv::MatrixFormat::kFp8E8M0 ||
                        (w.format == dsv::MatrixFormat::kFp8F32 && panel.keep_scale);
  if (by_table) return ExpandFp8Piece(panel, tables, piece, values, stride);
  const int64_t count = piece.end - piece.begin;
  for (int64_t i = 0; i < piece.outs; ++i) {
    const int64_t row = piece.out + i;
    const int64_t at = row * w.in + piece.begin;
    uint16_t* out = values + i * stride;
    if (w.format == dsv::MatrixFormat::kFp4E8M0) {
      ExpandE2m1ToBf16(w.data + at / 2,
                       reinterpret_cast<const uint8_t*>(w.scale) + at / dsv::kFp4Block, count,
                       tables, out);
    } else if (w.format == dsv::MatrixFormat::kBF16) {
      CopyBf16(w.data + at * 2, count, out);
    } else if (w.format == dsv::MatrixFormat::kFp8F32) {
      ExpandFp8F32Row(w, row, piece.begin, count, out);
    } else if (SplitsWeight(panel)) {
      SplitFloats(w.data + at * 4, count, out);
    } else {
      RoundStoredFloats(w.data + at * 4, count, out);
    }
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

// Brings the bytes of a piece closer. The rows of a piece are as many streams, too many for the
// hardware to follow.
inline void PrefetchPiece(const dsv::MatrixView& w, const PieceOfPanel& piece) {
  const int64_t bytes = StoredBytes(w.format, piece.end - piece.begin);
  for (int64_t i = 0; i < piece.outs; ++i) {
    const std::byte* row =
        w.data + StoredBytes(w.format, (piece.out + i) * w.in + piece.begin);
    for (int64_t b = 0; b < bytes; b += 64) __builtin_prefetch(row + b, 0, 2);
  }
}

}  // namespace
