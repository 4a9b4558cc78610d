// The kernels, written once over the lanes of a simd_<isa>.h that is included before this file.
// Everything is in an anonymous namespace, and no standard container or algorithm is used, so that
// no code compiled for a wide instruction set can be shared with the rest of the program.
#pragma once

#include "kernels/kernel_table.h"
#include "tensor/number_formats.h"

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

void ExpandBf16(const void* data, int64_t n, float* values) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Store(LoadBf16(bytes + 2 * i), values + i);
  for (; i < n; ++i) {
    uint16_t bits = 0;
    __builtin_memcpy(&bits, bytes + 2 * i, 2);
    values[i] = dsv::Bf16ToFloat(bits);
  }
}

void ExpandE4m3(const void* data, int64_t n, float scale, float* values) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  const Vec s = Broadcast(scale);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Store(Mul(LoadE4m3(bytes + i), s), values + i);
  for (; i < n; ++i) values[i] = dsv::E4m3ToFloat(bytes[i]) * scale;
}

void ExpandE2m1(const void* data, const void* scales, int64_t n, float* values) {
  constexpr int64_t kBlock = 32;
  const auto* bytes = static_cast<const uint8_t*>(data);
  for (int64_t block = 0; block < n / kBlock; ++block) {
    const Vec s = Broadcast(dsv::E8m0ToFloat(static_cast<const uint8_t*>(scales)[block]));
    for (int64_t i = block * kBlock; i < (block + 1) * kBlock; i += kLanes) {
      Store(Mul(LoadE2m1(bytes + i / 2), s), values + i);
    }
  }
}

float SumOfSquares(const float* x, int64_t n) {
  Vec sum[1][1] = {{Zero()}};
  Accumulate<1, 1>(x, 0, x, 0, 0, n, sum);
  return Sum(sum[0][0]);
}

// Keys of kLanes rows, expanded and transposed so that a lane is a key: bytes[g][lane] holds the
// four components from 4 g on, scale[b][lane] the scale of block b.
struct KeyTile {
  uint32_t* bytes;
  float* scale;
};

constexpr int64_t kKeyBlock = 32;
constexpr int64_t kGroupsPerBlock = kKeyBlock / 4;

void ExpandKeys(const uint8_t* keys, int64_t count, int64_t width, const KeyTile& tile) {
  static constexpr uint8_t kBiased[16] = {12, 13, 14, 15, 16, 18, 20, 24,
                                          12, 11, 10, 9,  8,  6,  4,  0};
  static_assert(kBiased[0] == dsv::kIndexKeyBias);
  const int64_t key_bytes = width / 2 + width / kKeyBlock;
  for (int64_t g = 0; g < width / 4; g += 2) {
    const Ints bytes = GatherBytes(keys, key_bytes, count, 2 * g);
    StoreInts(LookUpNibbles(bytes, false, kBiased), tile.bytes + g * kLanes);
    StoreInts(LookUpNibbles(bytes, true, kBiased), tile.bytes + (g + 1) * kLanes);
  }
  for (int64_t lane = 0; lane < kLanes; ++lane) {
    const uint8_t* key = keys + (lane < count ? lane : count - 1) * key_bytes;
    for (int64_t b = 0; b < width / kKeyBlock; ++b) {
      tile.scale[b * kLanes + lane] = dsv::E8m0ToFloat(key[width / 2 + b]);
    }
  }
}

// What kRows heads, from row `first` of queries x heads on, add to the scores of a tile's keys.
template <int64_t kRows>
inline void IndexParts(const dsv::IndexScoreJob& job, const KeyTile& tile, int64_t first,
                       Vec* parts) {
  const int64_t blocks = job.width / kKeyBlock;
  Vec dot[kRows];
  for (Vec& v : dot) v = Zero();
  for (int64_t b = 0; b < blocks; ++b) {
    Ints sum[kRows];
    for (int64_t r = 0; r < kRows; ++r) {
      sum[r] = BroadcastInt(job.q_correction[(first + r) * blocks + b]);
    }
    for (int64_t g = b * kGroupsPerBlock; g < (b + 1) * kGroupsPerBlock; ++g) {
      const Ints keys = LoadInts(tile.bytes + g * kLanes);
      for (int64_t r = 0; r < kRows; ++r) {
        const auto q = dsv::LoadUnaligned<int32_t>(job.q + (first + r) * job.width + 4 * g);
        sum[r] = DotBytes(sum[r], keys, BroadcastInt(q));
      }
    }
    const Vec scale = Load(tile.scale + b * kLanes);
    for (int64_t r = 0; r < kRows; ++r) {
      const Vec both = Mul(scale, Broadcast(job.q_scale[(first + r) * blocks + b]));
      dot[r] = MulAdd(ToFloat(sum[r]), both, dot[r]);
    }
  }
  for (int64_t r = 0; r < kRows; ++r) {
    const Vec a = Relu(RoundLanesToBf16(dot[r]));
    parts[r] = RoundLanesToBf16(Mul(a, Broadcast(job.w[first + r])));
  }
}

// Scores of the `count` keys of a tile for all queries.
void IndexTile(const dsv::IndexScoreJob& job, const KeyTile& tile, int64_t count, float* scores) {
  constexpr int64_t kRows = 4;
  const int64_t rows = job.queries * job.heads;
  Vec score = Zero();
  int64_t head = 0;
  for (int64_t first = 0; first < rows; first += kRows) {
    Vec parts[kRows];
    const int64_t some = rows - first < kRows ? rows - first : kRows;
    if (some == kRows) {
      IndexParts<kRows>(job, tile, first, parts);
    } else {
      for (int64_t r = 0; r < some; ++r) IndexParts<1>(job, tile, first + r, parts + r);
    }
    for (int64_t r = 0; r < some; ++r) {
      score = Add(score, parts[r]);
      if (++head < job.heads) continue;
      score = RoundLanesToBf16(score);
      if (count == kLanes) {
        Store(score, scores);
      } else {
        StorePartial(score, scores, count);
      }
      scores += job.score_stride;
      score = Zero();
      head = 0;
    }
  }
}

void IndexScores(const dsv::IndexScoreJob& job) {
  const KeyTile tile{static_cast<uint32_t*>(job.scratch),
                     static_cast<float*>(job.scratch) + job.width / 4 * kLanes};
  const auto* keys = static_cast<const uint8_t*>(job.keys);
  const int64_t key_bytes = job.width / 2 + job.width / kKeyBlock;
  for (int64_t begin = 0; begin < job.count; begin += kLanes) {
    const int64_t count = job.count - begin < kLanes ? job.count - begin : kLanes;
    ExpandKeys(keys + begin * key_bytes, count, job.width, tile);
    IndexTile(job, tile, count, job.scores + begin);
  }
}

}  // namespace
