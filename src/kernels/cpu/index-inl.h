// Index scores of packed keys in integers, over the lanes of simd_<isa>.h.
#pragma once

#include "kernels/kernel_table.h"
#include "tensor/number_formats.h"

namespace {

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
