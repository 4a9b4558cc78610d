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

// Heads that share the loads of a tile: enough sums to hide the latency of a dot product.
constexpr int64_t kHeadRows = kLanes == 16 ? 8 : 4;

// What kRows heads, from row `first` of queries x heads on, add to the scores of a tile's keys.
template <int64_t kRows>
inline void IndexParts(const dsv::IndexQueries& queries, const KeyTile& tile, int64_t first,
                       Vec* parts) {
  const int64_t blocks = queries.width / kKeyBlock;
  Vec dot[kRows];
  for (Vec& v : dot) v = Zero();
  for (int64_t b = 0; b < blocks; ++b) {
    Ints sum[kRows];
    for (int64_t r = 0; r < kRows; ++r) {
      sum[r] = BroadcastInt(queries.q_correction[(first + r) * blocks + b]);
    }
    for (int64_t g = b * kGroupsPerBlock; g < (b + 1) * kGroupsPerBlock; ++g) {
      const Ints keys = LoadInts(tile.bytes + g * kLanes);
      for (int64_t r = 0; r < kRows; ++r) {
        const auto q = dsv::LoadUnaligned<int32_t>(queries.q + (first + r) * queries.width + 4 * g);
        sum[r] = DotBytes(sum[r], keys, BroadcastInt(q));
      }
    }
    const Vec scale = Load(tile.scale + b * kLanes);
    for (int64_t r = 0; r < kRows; ++r) {
      const Vec both = Mul(scale, Broadcast(queries.q_scale[(first + r) * blocks + b]));
      dot[r] = MulAdd(ToFloat(sum[r]), both, dot[r]);
    }
  }
  for (int64_t r = 0; r < kRows; ++r) {
    const Vec a = Relu(RoundLanesToBf16(dot[r]));
    parts[r] = RoundLanesToBf16(Mul(a, Broadcast(queries.w[first + r])));
  }
}

// The sum of what `heads` heads add, from row `first` on; at most kIndexHeadGroup.
Vec SumHeads(const dsv::IndexQueries& queries, const KeyTile& tile, int64_t first, int64_t heads) {
  Vec even = Zero();
  Vec odd = Zero();
  Vec parts[kHeadRows];
  int64_t h = 0;
  for (; h + kHeadRows <= heads; h += kHeadRows) {
    IndexParts<kHeadRows>(queries, tile, first + h, parts);
    for (int64_t r = 0; r < kHeadRows; r += 2) {
      even = Add(even, parts[r]);
      odd = Add(odd, parts[r + 1]);
    }
  }
  for (; h < heads; ++h) {
    IndexParts<1>(queries, tile, first + h, parts);
    Vec& sum = h % 2 == 0 ? even : odd;
    sum = Add(sum, parts[0]);
  }
  return Add(even, odd);
}

// Scores of a tile's keys for one query.
Vec LaneScores(const dsv::IndexQueries& queries, const KeyTile& tile, int64_t query) {
  Vec score = Zero();
  for (int64_t h = 0; h < queries.heads; h += dsv::kIndexHeadGroup) {
    const int64_t rest = queries.heads - h;
    const int64_t heads = rest < dsv::kIndexHeadGroup ? rest : dsv::kIndexHeadGroup;
    score = Add(score, SumHeads(queries, tile, query * queries.heads + h, heads));
  }
  return RoundLanesToBf16(score);
}

// Scores of a run for the queries [first, first + count); `stride` lies between those of queries.
void ScoreRun(const dsv::IndexQueries& queries, int64_t first, int64_t count,
              const dsv::KeyRun& run, void* scratch, float* scores, int64_t stride) {
  static_assert(dsv::kKeyRun % kLanes == 0);
  const KeyTile tile{static_cast<uint32_t*>(scratch),
                     static_cast<float*>(scratch) + queries.width / 4 * kLanes};
  const auto* keys = static_cast<const uint8_t*>(run.keys);
  const int64_t key_bytes = queries.width / 2 + queries.width / kKeyBlock;
  for (int64_t begin = 0; begin < run.count; begin += kLanes) {
    const int64_t some = run.count - begin < kLanes ? run.count - begin : kLanes;
    ExpandKeys(keys + begin * key_bytes, some, queries.width, tile);
    for (int64_t i = 0; i < count; ++i) {
      Store(LaneScores(queries, tile, first + i), scores + i * stride + begin);
    }
  }
}

void IndexScores(const dsv::IndexScoreJob& job) {
  const int64_t stride = job.run_count * dsv::kKeyRun;
  for (int64_t r = 0; r < job.run_count; ++r) {
    ScoreRun(job.queries, 0, job.queries.queries, job.runs[r], job.scratch,
             job.scores + r * dsv::kKeyRun, stride);
  }
}

int64_t KeyTileBytes(int64_t /*heads*/, int64_t width) {
  return kLanes * (width + width / kKeyBlock * 4);
}

constexpr dsv::IndexKernels kLaneIndex{.scores = IndexScores, .scratch_bytes = KeyTileBytes};

}  // namespace
