// The index scan on INT8 tiles. While the tiles of one run of keys are multiplied, the vector units
// finish the products of the run before.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/index-inl.h"
#include "kernels/cpu/index_pack_amx.h"
#include "kernels/cpu/tiles_amx.h"

namespace {

constexpr int64_t kSharedRuns = 16;  // expanded at a time, for all queries
constexpr int64_t kAheadRuns = 4;    // fetched ahead of their expansion
constexpr int64_t kGroupSums = dsv::kKeyRun * dsv::kIndexHeadGroup;

struct IndexScratch {
  IndexScratch(void* scratch, int64_t heads)
      : runs(static_cast<ExpandedRun*>(scratch)),
        staging(reinterpret_cast<uint8_t*>(runs + kSharedRuns)),
        sums(reinterpret_cast<int32_t*>(staging + kStagingBytes)),
        parts(reinterpret_cast<uint16_t*>(sums + 2 * HeadGroups(heads) * kGroupSums)),
        lanes(parts + HeadGroups(heads) * kGroupSums) {}

  static constexpr int64_t kStagingBytes = (dsv::kKeyRun * kTileKeyBytes + 63) / 64 * 64;

  ExpandedRun* runs;  // [kSharedRuns]
  uint8_t* staging;   // a run that is not full
  int32_t* sums;      // [2, head groups, kKeyRun, kIndexHeadGroup]
  uint16_t* parts;    // [kKeyRun, head groups, kIndexHeadGroup], bf16
  void* lanes;        // of index-inl.h
};

int64_t TileScratchBytes(int64_t heads, int64_t width) {
  const int64_t groups = HeadGroups(heads);
  return kSharedRuns * static_cast<int64_t>(sizeof(ExpandedRun)) + IndexScratch::kStagingBytes +
         groups * kGroupSums * (2 * 4 + 2) + KeyTileBytes(heads, width);
}

// What a query does with the sums of a run.
struct IndexStep {
  int64_t query;
  int64_t run;
  const PackedQuery* packed;
  const ExpandedRun* keys;
  int32_t* sums;
};

// Multiplies a run with a group of heads. The sums, [key][column], stay in the tiles until the next
// call; here those of the call before are stored, each as late as it may be: the tile unit waits
// for stores that are not spread among products.
inline void MultiplyGroup(const ExpandedRun& run, const PackedHeads& heads, int32_t* before) {
  constexpr int64_t kRowBytes = dsv::kIndexHeadGroup * 4;
  int32_t* lower = before + 16 * dsv::kIndexHeadGroup;
  TileFence();
  _tile_loadd(4, run.rows[0][0], 64);
  _tile_loadd(6, heads.tiles[0][0], 64);
  _tile_stored(0, before, kRowBytes);
  _tile_zero(0);
  _tile_dpbssd(0, 4, 6);
  _tile_loadd(7, heads.tiles[0][1], 64);
  _tile_stored(1, before + 16, kRowBytes);
  _tile_zero(1);
  _tile_dpbssd(1, 4, 7);
  _tile_loadd(5, run.rows[0][16], 64);
  _tile_stored(2, lower, kRowBytes);
  _tile_zero(2);
  _tile_dpbssd(2, 5, 6);
  _tile_stored(3, lower + 16, kRowBytes);
  _tile_zero(3);
  _tile_dpbssd(3, 5, 7);
  _tile_loadd(4, run.rows[1][0], 64);
  _tile_loadd(6, heads.tiles[1][0], 64);
  _tile_dpbssd(0, 4, 6);
  _tile_loadd(7, heads.tiles[1][1], 64);
  _tile_dpbssd(1, 4, 7);
  _tile_loadd(5, run.rows[1][16], 64);
  _tile_dpbssd(2, 5, 6);
  _tile_dpbssd(3, 5, 7);
  TileFence();
}

inline void StoreLastSums(int32_t* sums) {
  constexpr int64_t kRowBytes = dsv::kIndexHeadGroup * 4;
  TileFence();
  _tile_stored(0, sums, kRowBytes);
  _tile_stored(1, sums + 16, kRowBytes);
  _tile_stored(2, sums + 16 * dsv::kIndexHeadGroup, kRowBytes);
  _tile_stored(3, sums + 16 * dsv::kIndexHeadGroup + 16, kRowBytes);
  TileFence();
}

inline void FetchRun(const dsv::KeyRun& run) {
  const auto* keys = static_cast<const char*>(run.keys);
  for (int64_t i = 0; i < run.count * kTileKeyBytes; i += 64) _mm_prefetch(keys + i, _MM_HINT_T0);
}

void ExpandAnyRun(const dsv::KeyRun& run, uint8_t* staging, ExpandedRun& expanded) {
  const auto* keys = static_cast<const uint8_t*>(run.keys);
  if (run.count < dsv::kKeyRun) {
    const int64_t bytes = run.count * kTileKeyBytes;
    __builtin_memset(staging, 0, static_cast<size_t>(IndexScratch::kStagingBytes));
    __builtin_memcpy(staging, keys, static_cast<size_t>(bytes));
    keys = staging;
  }
  ExpandRun(keys, expanded);
  if (run.count < dsv::kKeyRun) expanded.odd &= (1U << run.count) - 1U;
}

// Runs and queries pass through three stages: expansion of the keys, products, and what is made of
// the sums. The first half of a step's keys is finished in the middle of the next step, the second
// half at the beginning of the one after it, so that no stage waits for what is just being written.
template <class Finish>
class TilePipeline {
 public:
  TilePipeline(const dsv::IndexQueries& queries, const dsv::KeyRun* runs, int64_t run_count,
               const IndexScratch& scratch, Finish& finish)
      : queries_(queries),
        runs_(runs),
        run_count_(run_count),
        groups_(HeadGroups(queries.heads)),
        scratch_(scratch),
        finish_(finish),
        before_(scratch.sums) {}

  void Run() {
    const int64_t shared = queries_.queries == 1 ? run_count_ : kSharedRuns;
    for (int64_t r = 0; r < run_count_ && r < kAheadRuns; ++r) FetchRun(runs_[r]);
    ConfigureTiles(32, 16);
    for (int64_t begin = 0; begin < run_count_; begin += shared) {
      const int64_t end = run_count_ - begin < shared ? run_count_ : begin + shared;
      RunQueries(begin, end);
    }
    Drain();
    _tile_release();
  }

 private:
  // Runs [begin, end) with all regular queries.
  void RunQueries(int64_t begin, int64_t end) {
    const int64_t bytes = PackedQueryBytes(queries_.heads, queries_.width);
    for (int64_t i = 0; i < queries_.queries; ++i) {
      const auto* packed =
          reinterpret_cast<const PackedQuery*>(static_cast<const char*>(queries_.packed) + i * bytes);
      if (packed->is_regular == 0) continue;
      for (int64_t r = begin; r < end; ++r) {
        while (expanded_ < end && expanded_ < r + 2) Expand();
        RunStep({i, r, packed, &scratch_.runs[r % kSharedRuns],
                 scratch_.sums + steps_++ % 2 * groups_ * kGroupSums});
      }
    }
    if (expanded_ < end) expanded_ = end;
  }

  void Expand() {
    if (expanded_ + kAheadRuns < run_count_) FetchRun(runs_[expanded_ + kAheadRuns]);
    ExpandAnyRun(runs_[expanded_], scratch_.staging, scratch_.runs[expanded_ % kSharedRuns]);
    ++expanded_;
  }

  void RunStep(const IndexStep& step) {
    const PackedHeads* heads = HeadsOf(step.packed);
    auto* sums = step.sums;
    MultiplyGroup(*step.keys, heads[0], before_);
    FinishOlder();
    for (int64_t g = 1; g < groups_; ++g) {
      MultiplyGroup(*step.keys, heads[g], sums + (g - 1) * kGroupSums);
    }
    before_ = sums + (groups_ - 1) * kGroupSums;
    if (last_.packed != nullptr) finish_.Keys(last_, 0);
    older_ = last_;
    last_ = step;
  }

  // The second half of the step before the last.
  void FinishOlder() {
    if (older_.packed == nullptr) return;
    finish_.Keys(older_, 16);
    finish_.End(older_);
  }

  void Drain() {
    StoreLastSums(before_);
    FinishOlder();
    if (last_.packed == nullptr) return;
    finish_.Keys(last_, 0);
    finish_.Keys(last_, 16);
    finish_.End(last_);
  }

  const dsv::IndexQueries& queries_;
  const dsv::KeyRun* runs_;
  int64_t run_count_;
  int64_t groups_;
  const IndexScratch& scratch_;
  Finish& finish_;
  int64_t expanded_ = 0;  // runs
  int64_t steps_ = 0;
  int32_t* before_;  // where the sums that lie in the tiles belong
  IndexStep last_{};
  IndexStep older_{};
};

// Scores with every rounding point.
struct FinishScores {
  const dsv::IndexScoreJob& job;
  const IndexScratch& scratch;
  int64_t groups;

  // What every head adds to the scores of 16 keys.
  void Keys(const IndexStep& step, int64_t first) const {
    const __m512i high = _mm512_set1_epi32(static_cast<int>(0xFFFF0000U));
    const PackedHeads* heads = HeadsOf(step.packed);
    for (int64_t g = 0; g < groups; ++g) {
      const __m512 w_low = _mm512_load_ps(heads[g].w);
      const __m512 w_high = _mm512_load_ps(heads[g].w + 16);
      const int32_t* sums = step.sums + g * kGroupSums + first * dsv::kIndexHeadGroup;
      uint16_t* parts = scratch.parts + (first * groups + g) * dsv::kIndexHeadGroup;
      for (int64_t s = 0; s < 16; ++s) {
        const __m512 dot0 = ToFloat(_mm512_load_si512(sums + s * dsv::kIndexHeadGroup));
        const __m512 dot1 = ToFloat(_mm512_load_si512(sums + s * dsv::kIndexHeadGroup + 16));
        const __m512i a = _mm512_max_epi16(RoundPair(dot0, dot1), _mm512_setzero_si512());
        const __m512 low = _mm512_castsi512_ps(_mm512_slli_epi32(a, 16));
        const __m512 upper = _mm512_castsi512_ps(_mm512_and_si512(a, high));
        _mm512_store_si512(parts + s * groups * dsv::kIndexHeadGroup,
                           RoundPair(_mm512_mul_ps(low, w_low), _mm512_mul_ps(upper, w_high)));
      }
    }
  }

  // Sums over the heads: a product of bf16 tiles with ones, which sums in the order of
  // index_kernels.h, and has no subnormal on the way.
  void End(const IndexStep& step) const {
    alignas(64) static constexpr uint16_t kOnes[32] = {
        0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80,
        0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80,
        0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80};
    float* scores = job.scores + (step.query * job.run_count + step.run) * dsv::kKeyRun;
    if (step.keys->odd != 0) {
      ScoreRun(job.queries, step.query, 1, job.runs[step.run], scratch.lanes, scores, 0);
      return;
    }
    alignas(64) float columns[dsv::kKeyRun + 16];
    TileFence();
    _tile_loadd(7, kOnes, 0);
    for (int64_t first = 0; first < dsv::kKeyRun; first += 16) {
      const uint16_t* parts = scratch.parts + first * groups * dsv::kIndexHeadGroup;
      _tile_zero(6);
      for (int64_t g = 0; g < groups; ++g) {
        _tile_loadd(4, parts + g * dsv::kIndexHeadGroup, groups * dsv::kIndexHeadGroup * 2);
        _tile_dpbf16ps(6, 4, 7);
      }
      // Every column is the sum; row by row, each an element further, the first ones remain.
      _tile_stored(6, columns + first, 4);
    }
    TileFence();
    for (int64_t first = 0; first < dsv::kKeyRun; first += 16) {
      const Vec score = Mul(Load(columns + first), Load(step.keys->scale + first));
      Store(RoundLanesToBf16(score), scores + first);
    }
  }
};

void TileScores(const dsv::IndexScoreJob& job) {
  if (job.queries.width != kTileWidth) return IndexScores(job);
  const IndexScratch scratch(job.scratch, job.queries.heads);
  FinishScores finish{job, scratch, HeadGroups(job.queries.heads)};
  TilePipeline(job.queries, job.runs, job.run_count, scratch, finish).Run();
  const int64_t bytes = PackedQueryBytes(job.queries.heads, job.queries.width);
  for (int64_t i = 0; i < job.queries.queries; ++i) {
    const auto* packed = static_cast<const char*>(job.queries.packed) + i * bytes;
    if (reinterpret_cast<const PackedQuery*>(packed)->is_regular != 0) continue;
    for (int64_t r = 0; r < job.run_count; ++r) {
      ScoreRun(job.queries, i, 1, job.runs[r], scratch.lanes,
               job.scores + (i * job.run_count + r) * dsv::kKeyRun, 0);
    }
  }
}

}  // namespace
