// The index scan on INT8 tiles. While the tiles of one run of keys are multiplied, the vector units
// finish the products of the run before.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/index-inl.h"
#include "kernels/cpu/index_pack_amx.h"
#include "kernels/cpu/tiles_amx.h"

namespace {

constexpr int64_t kSharedRuns = 4;   // expanded at a time, for all queries
constexpr int64_t kKnownScales = 8;  // of runs, which are needed longer than their rows
constexpr int64_t kAheadRuns = 12;   // fetched ahead of their expansion
constexpr int64_t kGroupSums = dsv::kKeyRun * dsv::kIndexHeadGroup;

struct IndexScratch {
  IndexScratch(void* scratch, int64_t heads)
      : runs(static_cast<ExpandedRun*>(scratch)),
        scales(reinterpret_cast<RunScales*>(runs + kSharedRuns)),
        staging(reinterpret_cast<uint8_t*>(scales + kKnownScales)),
        sums(reinterpret_cast<int32_t*>(staging + kStagingBytes)),
        parts(reinterpret_cast<uint16_t*>(sums + 2 * HeadGroups(heads) * kGroupSums)),
        lanes(parts + HeadGroups(heads) * kGroupSums) {}

  static constexpr int64_t kStagingBytes = (dsv::kKeyRun * kTileKeyBytes + 63) / 64 * 64;

  ExpandedRun* runs;  // [kSharedRuns]
  RunScales* scales;  // [kKnownScales]
  uint8_t* staging;   // a run that is not full
  int32_t* sums;      // [2, head groups, kKeyRun, kIndexHeadGroup]
  uint16_t* parts;    // [kKeyRun, head groups, kIndexHeadGroup], bf16
  void* lanes;        // of index-inl.h
};

int64_t TileScratchBytes(int64_t heads, int64_t width) {
  const int64_t groups = HeadGroups(heads);
  return kSharedRuns * static_cast<int64_t>(sizeof(ExpandedRun)) +
         kKnownScales * static_cast<int64_t>(sizeof(RunScales)) + IndexScratch::kStagingBytes +
         groups * kGroupSums * (2 * 4 + 2) + KeyTileBytes(heads, width);
}

// What a query does with the sums of a run.
struct IndexStep {
  int64_t query;
  int64_t run;
  const PackedQuery* packed;
  const RunScales* scales;
  int32_t* sums;
};

// Multiplies a run with a group of heads. The sums, [key][column], stay in the tiles until the next
// call; here those of the call before are stored, and beside(0) to beside(7) are called. Stores stand
// between products, and the other work is spread among them in small pieces, because the stores of
// tiles that are not ready hold up what follows them.
template <class Beside>
[[gnu::always_inline]] inline void MultiplyGroup(const ExpandedRun& run, const PackedHeads& heads,
                                                 int32_t* before, const Beside& beside) {
  constexpr int64_t kRowBytes = dsv::kIndexHeadGroup * 4;
  int32_t* lower = before + 16 * dsv::kIndexHeadGroup;
  TileFence();
  _tile_loadd(4, run.rows[0][0], 64);
  _tile_loadd(6, heads.tiles[0][0], 64);
  _tile_stored(0, before, kRowBytes);
  _tile_zero(0);
  _tile_dpbssd(0, 4, 6);
  beside(0);
  _tile_loadd(7, heads.tiles[0][1], 64);
  _tile_stored(1, before + 16, kRowBytes);
  _tile_zero(1);
  _tile_dpbssd(1, 4, 7);
  beside(1);
  _tile_loadd(5, run.rows[0][16], 64);
  _tile_stored(2, lower, kRowBytes);
  _tile_zero(2);
  _tile_dpbssd(2, 5, 6);
  beside(2);
  _tile_stored(3, lower + 16, kRowBytes);
  _tile_zero(3);
  _tile_dpbssd(3, 5, 7);
  beside(3);
  _tile_loadd(4, run.rows[1][0], 64);
  _tile_loadd(6, heads.tiles[1][0], 64);
  _tile_dpbssd(0, 4, 6);
  beside(4);
  _tile_loadd(7, heads.tiles[1][1], 64);
  _tile_dpbssd(1, 4, 7);
  beside(5);
  _tile_loadd(5, run.rows[1][16], 64);
  _tile_dpbssd(2, 5, 6);
  beside(6);
  _tile_dpbssd(3, 5, 7);
  beside(7);
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

// The keys of a run; of one that is not full a copy with zeros after its end.
inline const uint8_t* WholeRun(const dsv::KeyRun& run, uint8_t* staging) {
  const auto* keys = static_cast<const uint8_t*>(run.keys);
  if (run.count == dsv::kKeyRun) return keys;
  __builtin_memset(staging, 0, static_cast<size_t>(IndexScratch::kStagingBytes));
  __builtin_memcpy(staging, keys, static_cast<size_t>(run.count * kTileKeyBytes));
  return staging;
}

// Runs and queries pass through three stages: expansion of the keys, products, and what is made of
// the sums. Beside the products of a step, its two halves are those of 16 keys of each other stage:
// the run two steps ahead is expanded; the second half of the step before the last is finished, then
// the first half of the last one. So no stage waits for what has just been written.
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
    int64_t expanded = begin;
    for (int64_t i = 0; i < queries_.queries; ++i) {
      const auto* packed =
          reinterpret_cast<const PackedQuery*>(static_cast<const char*>(queries_.packed) + i * bytes);
      if (packed->is_regular == 0) continue;
      while (expanded < end && expanded < begin + 2) Expand(expanded++);
      for (int64_t r = begin; r < end; ++r) {
        const IndexStep step{i, r, packed, &scratch_.scales[r % kKnownScales],
                             scratch_.sums + steps_++ % 2 * groups_ * kGroupSums};
        const bool expands = expanded == r + 2 && expanded < end;
        RunStep(step, expands ? expanded++ : -1);
      }
    }
  }

  HalfExpansion Expansion(int64_t run, int64_t first) {
    const int64_t later = run + kAheadRuns < run_count_ ? run + kAheadRuns : run_count_ - 1;
    return {WholeRun(runs_[run], scratch_.staging), first, runs_[later].keys,
            scratch_.runs[run % kSharedRuns], scratch_.scales[run % kKnownScales]};
  }
  void Expand(int64_t run) {
    ExpandHalf(run, 0);
    ExpandHalf(run, 16);
  }

  // `ahead` is the run to expand, if not negative.
  void RunStep(const IndexStep& step, int64_t ahead) {
    const PackedHeads* heads = HeadsOf(step.packed);
    const ExpandedRun& keys = scratch_.runs[step.run % kSharedRuns];
    MultiplyBeside(keys, heads[0], before_, older_, 16, ahead);
    if (older_.packed != nullptr) finish_.End(older_);
    before_ = step.sums;
    if (groups_ > 1) {
      MultiplyBeside(keys, heads[1], before_, last_, 0, ahead);
      before_ += kGroupSums;
    } else {
      FinishHalf(last_, 0);
      if (ahead >= 0) ExpandHalf(ahead, 16);
    }
    for (int64_t g = 2; g < groups_; ++g, before_ += kGroupSums) {
      MultiplyGroup(keys, heads[g], before_, [](int64_t) {});
    }
    older_ = last_;
    last_ = step;
  }

  // The products of a group, beside them 16 keys of `done` from `first` on and as many of the run
  // that is expanded.
  void MultiplyBeside(const ExpandedRun& keys, const PackedHeads& heads, int32_t* before,
                      const IndexStep& done, int64_t first, int64_t ahead) {
    if (done.packed == nullptr) {
      MultiplyGroup(keys, heads, before, [](int64_t) {});
      if (ahead >= 0) ExpandHalf(ahead, 16 - first);
      return;
    }
    auto half = finish_.Half(done, first);
    if (ahead < 0) {
      MultiplyGroup(keys, heads, before, [&](int64_t i) __attribute__((always_inline)) {
        half.Two(i);
      });
    } else {
      const HalfExpansion expansion = Expansion(ahead, 16 - first);
      MultiplyGroup(keys, heads, before, [&](int64_t i) __attribute__((always_inline)) {
        half.Two(i);
        expansion.Two(i);
      });
    }
    half.End();
  }

  void ExpandHalf(int64_t run, int64_t first) {
    const HalfExpansion expansion = Expansion(run, first);
    for (int64_t i = 0; i < 8; ++i) expansion.Two(i);
  }

  void FinishHalf(const IndexStep& step, int64_t first) {
    if (step.packed == nullptr) return;
    auto half = finish_.Half(step, first);
#pragma GCC unroll 8
    for (int64_t i = 0; i < 8; ++i) half.Two(i);
    half.End();
  }

  void Drain() {
    StoreLastSums(before_);
    FinishHalf(older_, 16);
    if (older_.packed != nullptr) finish_.End(older_);
    if (last_.packed == nullptr) return;
    FinishHalf(last_, 0);
    FinishHalf(last_, 16);
    finish_.End(last_);
  }

  const dsv::IndexQueries& queries_;
  const dsv::KeyRun* runs_;
  int64_t run_count_;
  int64_t groups_;
  const IndexScratch& scratch_;
  Finish& finish_;
  int64_t steps_ = 0;
  int32_t* before_;  // where the sums that lie in the tiles belong
  IndexStep last_{};
  IndexStep older_{};
};

// What every head adds to the scores of 16 keys, every rounding point included.
class ScoreHalf {
 public:
  ScoreHalf(const IndexStep& step, int64_t first, int64_t groups, uint16_t* parts)
      : heads_(HeadsOf(step.packed)),
        sums_(step.sums + first * dsv::kIndexHeadGroup),
        groups_(groups),
        parts_(parts + first * groups * dsv::kIndexHeadGroup) {}

  [[gnu::always_inline]] void Two(int64_t i) const {
    for (int64_t g = 0; g < groups_; ++g) {
      One(2 * i, g);
      One(2 * i + 1, g);
    }
  }

  void End() const {}

 private:
  [[gnu::always_inline]] void One(int64_t s, int64_t g) const {
    const int32_t* sums = sums_ + g * kGroupSums + s * dsv::kIndexHeadGroup;
    const __m512 dot0 = ToFloat(_mm512_load_si512(sums));
    const __m512 dot1 = ToFloat(_mm512_load_si512(sums + 16));
    const __m512i a = _mm512_max_epi16(RoundPair(dot0, dot1), _mm512_setzero_si512());
    const __m512 low = _mm512_castsi512_ps(_mm512_slli_epi32(a, 16));
    const __m512 high = _mm512_castsi512_ps(
        _mm512_and_si512(a, _mm512_set1_epi32(static_cast<int>(0xFFFF0000U))));
    _mm512_store_si512(parts_ + (s * groups_ + g) * dsv::kIndexHeadGroup,
                       RoundPair(_mm512_mul_ps(low, _mm512_load_ps(heads_[g].w)),
                                 _mm512_mul_ps(high, _mm512_load_ps(heads_[g].w + 16))));
  }

  const PackedHeads* heads_;
  const int32_t* sums_;
  int64_t groups_;
  uint16_t* parts_;  // [16, groups, kIndexHeadGroup], bf16
};

struct FinishScores {
  const dsv::IndexScoreJob& job;
  const IndexScratch& scratch;
  int64_t groups;

  ScoreHalf Half(const IndexStep& step, int64_t first) const {
    return {step, first, groups, scratch.parts};
  }

  // Sums over the heads: a product of bf16 tiles with ones, which sums in the order of
  // index_kernels.h, and has no subnormal on the way.
  void End(const IndexStep& step) const {
    alignas(64) static constexpr uint16_t kOnes[32] = {
        0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80,
        0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80,
        0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80, 0x3F80};
    float* scores = job.scores + (step.query * job.run_count + step.run) * dsv::kKeyRun;
    const int64_t count = job.runs[step.run].count;
    if (step.scales->odd << (dsv::kKeyRun - count) != 0) {
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
      const Vec score = Mul(Load(columns + first), Load(step.scales->scale + first));
      Store(RoundLanesToBf16(score), scores + first);
    }
  }
};

void TileScores(const dsv::IndexScoreJob& job) {
  if (job.queries.width != kTileWidth || job.queries.heads < dsv::kLeastFilterHeads) {
    return IndexScores(job);
  }
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
