// Index queries and keys as operands of INT8 tiles.
//
// The values of a head or key whose four block scales differ by at most 2^3 are integers below 128
// times the smallest scale. The dot product of two such rows is below 2^24, so it and every partial
// sum of the blocks is exact as an integer and as a float. Scales and head weights far from the
// limits of the formats are powers of two that can be multiplied in at any point of the way without
// changing a rounding. What does not fit is left to the lanes of index-inl.h.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/bf16-inl.h"
#include "kernels/index_kernels.h"
#include "tensor/number_formats.h"

namespace {

constexpr int64_t kTileWidth = 128;  // the only width that tiles serve
constexpr int64_t kTileBlocks = kTileWidth / 32;
constexpr int64_t kTileKeyBytes = kTileWidth / 2 + kTileBlocks;
constexpr int kMaxSpread = 3;           // of the exponents of block scales
constexpr int kMaxExponent = 30;        // of the smallest block scale, either sign
constexpr int64_t kMaxTileHeads = 512;  // for the integers of PackedHeads::bound

// 32 heads. Column 2 i of the two tiles side by side is head i and column 2 i + 1 head 16 + i, so
// that the even and odd halves of 32-bit pairs are 16 heads each, in order.
struct alignas(64) PackedHeads {
  int8_t tiles[2][2][1024];  // [even, odd components][columns 0 to 15, 16 to 31]
  float w[32];               // times the smallest scale of the head
  // Upper bounds of the weights in units of PackedQuery::unit, in the order of packed columns.
  int16_t bound[32];
};

struct alignas(64) PackedQuery {
  int32_t is_regular;   // whether tiles serve it
  int32_t reach_limit;  // keys that reach further may have dot products of 2^16 and above
  int32_t offset;       // 2^15 times the sum of the bounds
  float unit;
};

// A run of keys, one in a row, in units of their smallest scales.
struct alignas(64) ExpandedRun {
  int8_t rows[2][dsv::kKeyRun][64];  // [even, odd components]
};

struct alignas(64) RunScales {
  float scale[dsv::kKeyRun];    // the smallest of the key
  int32_t reach[dsv::kKeyRun];  // sum of the blocks' squared scales in units of the smallest
  uint32_t odd;                 // a bit for every key that tiles do not serve
};

inline int64_t HeadGroups(int64_t heads) {
  return (heads + dsv::kIndexHeadGroup - 1) / dsv::kIndexHeadGroup;
}

inline const PackedHeads* HeadsOf(const PackedQuery* query) {
  return reinterpret_cast<const PackedHeads*>(query + 1);
}

inline int64_t PackedQueryBytes(int64_t heads, int64_t width) {
  if (width != kTileWidth) return 64;
  const auto group = static_cast<int64_t>(sizeof(PackedHeads));
  return static_cast<int64_t>(sizeof(PackedQuery)) + HeadGroups(heads) * group;
}

inline int ExponentOf(float value) {
  return static_cast<int>(__builtin_bit_cast(uint32_t, value) >> 23 & 255U) - 127;
}

// The components of a head in units of its smallest scale.
struct HeadRow {
  __m512i even;
  __m512i odd;
  float scale;
  bool is_regular;
};

inline bool IsZeroBlock(const int8_t* q) {
  const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(q));
  return _mm256_testz_si256(bytes, bytes) != 0;
}

inline __m512i JoinHalves(__m256i low, __m256i high) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

HeadRow LoadHead(const int8_t* q, const float* scales) {
  int exponents[kTileBlocks];
  int least = 1000;
  for (int64_t b = 0; b < kTileBlocks; ++b) {
    const bool is_zero = IsZeroBlock(q + 32 * b);
    exponents[b] = is_zero ? 1000 : ExponentOf(scales[b]);
    if (exponents[b] < least) least = exponents[b];
  }
  if (least == 1000) least = 0;
  HeadRow row{};
  row.is_regular = least >= -kMaxExponent && least <= kMaxExponent;
  int16_t shifts[kTileBlocks] = {};
  for (int64_t b = 0; b < kTileBlocks; ++b) {
    if (exponents[b] == 1000) continue;
    if (exponents[b] - least > kMaxSpread) row.is_regular = false;
    shifts[b] = static_cast<int16_t>((exponents[b] - least) & 15);
  }
  if (!row.is_regular) return row;
  row.scale = __builtin_bit_cast(float, static_cast<uint32_t>(least + 127) << 23);
  __m256i even[2];
  __m256i odd[2];
  for (int64_t half = 0; half < 2; ++half) {
    const __m512i shift = JoinHalves(_mm256_set1_epi16(shifts[2 * half]),
                                     _mm256_set1_epi16(shifts[2 * half + 1]));
    const __m512i pairs = _mm512_loadu_si512(q + 64 * half);
    even[half] = _mm512_cvtepi16_epi8(_mm512_sllv_epi16(pairs, shift));
    odd[half] = _mm512_cvtepi16_epi8(_mm512_sllv_epi16(_mm512_srli_epi16(pairs, 8), shift));
  }
  row.even = JoinHalves(even[0], even[1]);
  row.odd = JoinHalves(odd[0], odd[1]);
  return row;
}

// The sum of squares of 64 signed bytes.
inline int32_t SquaredNorm(__m512i bytes) {
  const __m512i low = _mm512_cvtepi8_epi16(_mm512_castsi512_si256(bytes));
  const __m512i high = _mm512_cvtepi8_epi16(_mm512_extracti64x4_epi64(bytes, 1));
  const __m512i sums =
      _mm512_dpwssd_epi32(_mm512_dpwssd_epi32(_mm512_setzero_si512(), low, low), high, high);
  int32_t lanes[16];
  _mm512_storeu_si512(lanes, sums);
  int32_t norm = 0;
  for (const int32_t lane : lanes) norm += lane;
  return norm;
}

// Whether the products of a weight with all dot products stay far from the limits of floats.
inline bool IsRegularWeight(float w) {
  return w == 0 || (ExponentOf(w) >= -50 && ExponentOf(w) <= kMaxExponent);
}

// The tiles and w of one group; false if a head is not regular. The largest squared norm goes up.
bool PackGroup(const dsv::IndexQueries& queries, int64_t first, int64_t heads, PackedHeads& packed,
               int32_t& norm) {
  __m512i even[2][16];
  __m512i odd[2][16];
  for (int64_t h = 0; h < dsv::kIndexHeadGroup; ++h) {
    const int64_t column = h < 16 ? 2 * h : 2 * (h - 16) + 1;
    HeadRow row{};
    float w = 0;
    if (h < heads) {
      row = LoadHead(queries.q + (first + h) * kTileWidth, queries.q_scale + (first + h) * kTileBlocks);
      w = queries.w[first + h];
      if (!row.is_regular || !IsRegularWeight(w)) return false;
      const int32_t squares = SquaredNorm(row.even) + SquaredNorm(row.odd);
      if (squares > norm) norm = squares;
    }
    packed.w[h] = w * row.scale;
    even[column / 16][column % 16] = row.even;
    odd[column / 16][column % 16] = row.odd;
  }
  for (int64_t side = 0; side < 2; ++side) {
    Transpose(even[side]);
    Transpose(odd[side]);
    for (int64_t r = 0; r < 16; ++r) {
      _mm512_store_si512(packed.tiles[0][side] + 64 * r, even[side][r]);
      _mm512_store_si512(packed.tiles[1][side] + 64 * r, odd[side][r]);
    }
  }
  return true;
}

// The weight that makes a sum of unrounded products an upper bound: a product that is rounded twice
// to eight bits differs from the exact one by a factor of at most (1 + 2^-8)^2, below 1.00783; the
// rest covers the roundings of the sum and of this product.
inline float BoundingWeight(float w) { return w > 0 ? w * 1.008F : w * 0.992F; }

// Positions of a group's 32 columns when pairs of tile rows are packed to 16 bits.
inline int64_t ColumnOfWord(int64_t word) {
  const int64_t in_lane = word % 8;
  return word / 8 * 4 + (in_lane < 4 ? in_lane : 16 + in_lane - 4);
}

void PackBounds(PackedQuery& query, PackedHeads* groups, int64_t count) {
  float total = 0x1p-100F;
  for (int64_t g = 0; g < count; ++g) {
    for (const float w : groups[g].w) total += __builtin_fabsf(BoundingWeight(w));
  }
  // The magnitudes of all bounds together stay below 2^15, with 512 for rounding them up: their sum
  // with factors below 2^16 is an int32.
  query.unit = dsv::PowerOfTwoCeil(total / 32000.0F);
  const float inverse = 1.0F / query.unit;
  int32_t sum = 0;
  for (int64_t g = 0; g < count; ++g) {
    for (int64_t word = 0; word < 32; ++word) {
      const int64_t column = ColumnOfWord(word);
      const float bound =
          BoundingWeight(groups[g].w[column / 2 + (column % 2 == 0 ? 0 : 16)]) * inverse;
      auto rounded = static_cast<int32_t>(bound);
      if (static_cast<float>(rounded) < bound) ++rounded;
      groups[g].bound[word] = static_cast<int16_t>(rounded);
      sum += rounded;
    }
  }
  query.offset = 32768 * sum;
}

void PackQuery(const dsv::IndexQueries& queries, int64_t query, PackedQuery& packed) {
  packed = {};
  if (queries.width != kTileWidth || queries.heads > kMaxTileHeads) return;
  auto* groups = reinterpret_cast<PackedHeads*>(&packed + 1);
  const int64_t count = HeadGroups(queries.heads);
  int32_t norm = 1;
  for (int64_t g = 0; g < count; ++g) {
    const int64_t first = g * dsv::kIndexHeadGroup;
    const int64_t rest = queries.heads - first;
    const int64_t heads = rest < dsv::kIndexHeadGroup ? rest : dsv::kIndexHeadGroup;
    if (!PackGroup(queries, query * queries.heads + first, heads, groups[g], norm)) return;
  }
  PackBounds(packed, groups, count);
  // |q| |k| < 2^16, where |k|^2 is at most 32 * 12^2 times its reach.
  constexpr int64_t kSquare = int64_t{65535} * 65535 / (32 * 12 * 12);
  packed.reach_limit = static_cast<int32_t>(kSquare / norm);
  packed.is_regular = 1;
}

void PackQueries(const dsv::IndexQueries& queries, void* packed) {
  const int64_t bytes = PackedQueryBytes(queries.heads, queries.width);
  for (int64_t i = 0; i < queries.queries; ++i) {
    PackQuery(queries, i, *reinterpret_cast<PackedQuery*>(static_cast<char*>(packed) + i * bytes));
  }
}

// Scales of 16 keys: what RunScales says of them, and for the table look-up of a key the shifts of
// its four blocks in bits 4 and 5 of four bytes. Returns the odd ones.
inline uint32_t ExpandScales(const uint8_t* keys, RunScales& run, int64_t first,
                             uint32_t* shifts) {
  const __m512i ones = _mm512_set1_epi32(0x01010101);
  const __m512i scales = GatherBytes(keys + first * kTileKeyBytes, kTileKeyBytes, 16, 64);
  __m512i least = _mm512_min_epu8(scales, _mm512_rol_epi32(scales, 8));
  least = _mm512_min_epu8(least, _mm512_rol_epi32(least, 16));
  const __m512i spread = _mm512_sub_epi8(scales, least);
  const __m512i byte = _mm512_and_si512(least, _mm512_set1_epi32(0xFF));
  const __m512i from_lowest = _mm512_sub_epi32(byte, _mm512_set1_epi32(127 - kMaxExponent));
  const __mmask16 odd = _mm512_test_epi32_mask(spread, _mm512_set1_epi8(-4)) |
                        _mm512_cmpgt_epu32_mask(from_lowest, _mm512_set1_epi32(2 * kMaxExponent));
  const __m512i squares = _mm512_shuffle_epi8(
      _mm512_set4_epi32(0, 0, 0, 1 | 4 << 8 | 16 << 16 | 64 << 24), spread);
  const __m512i reach = _mm512_dpbusd_epi32(_mm512_setzero_si512(), squares, ones);
  _mm512_store_si512(run.reach + first,
                     _mm512_mask_mov_epi32(reach, odd, _mm512_set1_epi32(0x7FFFFFFF)));
  _mm512_store_si512(run.scale + first, _mm512_slli_epi32(byte, 23));
  const __m512i bits = _mm512_and_si512(spread, _mm512_set1_epi32(0x03030303));
  _mm512_storeu_si512(shifts, _mm512_slli_epi32(bits, 4));
  return odd;
}

// Expands 16 keys, two at a time, so that the caller may do something else between them, and fetches
// as much of a later run: few lines at a time, since those that are on their way are limited.
class HalfExpansion {
 public:
  HalfExpansion(const uint8_t* keys, int64_t first, const void* later, ExpandedRun& run,
                RunScales& scales)
      : keys_(keys),
        first_(first),
        later_(static_cast<const char*>(later) + first * kTileKeyBytes),
        run_(run) {
    static_assert(16 * kTileKeyBytes == 17 * 64);
    _mm_prefetch(later_ + 16 * 64, _MM_HINT_T1);
    const uint32_t odd = ExpandScales(keys, scales, first, shifts_) << first;
    scales.odd = first == 0 ? odd : scales.odd | odd;
  }

  [[gnu::always_inline]] void Two(int64_t i) const {
    _mm_prefetch(later_ + 128 * i, _MM_HINT_T1);
    _mm_prefetch(later_ + 128 * i + 64, _MM_HINT_T1);
    One(first_ + 2 * i, shifts_[2 * i]);
    One(first_ + 2 * i + 1, shifts_[2 * i + 1]);
  }

 private:
  [[gnu::always_inline]] void One(int64_t s, uint32_t shifts) const {
    alignas(64) static constexpr int8_t kShifted[64] = {
        0, 1, 2,  3,  4,  6,  8,  12, 0, -1, -2,  -3,  -4,  -6,  -8,  -12,
        0, 2, 4,  6,  8,  12, 16, 24, 0, -2, -4,  -6,  -8,  -12, -16, -24,
        0, 4, 8,  12, 16, 24, 32, 48, 0, -4, -8,  -12, -16, -24, -32, -48,
        0, 8, 16, 24, 32, 48, 64, 96, 0, -8, -16, -24, -32, -48, -64, -96};
    // Byte b in lane b of 128 bits, which holds block b.
    alignas(64) static constexpr int64_t kLaneBytes[8] = {
        0, 0, 0x0101010101010101, 0x0101010101010101, 0x0202020202020202,
        0x0202020202020202, 0x0303030303030303, 0x0303030303030303};
    const __m512i table = _mm512_load_si512(kShifted);
    const __m512i nibble = _mm512_set1_epi8(0x0F);
    const __m512i codes = _mm512_loadu_si512(keys_ + s * kTileKeyBytes);
    const __m512i shift = _mm512_shuffle_epi8(_mm512_set1_epi32(static_cast<int>(shifts)),
                                              _mm512_load_si512(kLaneBytes));
    // (codes & nibble) | shift
    const __m512i low = _mm512_ternarylogic_epi64(codes, nibble, shift, 0xEA);
    const __m512i high =
        _mm512_ternarylogic_epi64(_mm512_srli_epi16(codes, 4), nibble, shift, 0xEA);
    _mm512_store_si512(run_.rows[0][s], _mm512_permutexvar_epi8(low, table));
    _mm512_store_si512(run_.rows[1][s], _mm512_permutexvar_epi8(high, table));
  }

  const uint8_t* keys_;
  int64_t first_;
  const char* later_;
  ExpandedRun& run_;
  alignas(64) uint32_t shifts_[16];
};

}  // namespace
