// The filter of the index scan: an upper bound of the score, in integers and without its roundings,
// against a threshold.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/index_amx.h"

namespace {

// The bounds of 16 keys.
class FilterHalf {
 public:
  FilterHalf(const IndexStep& step, int64_t first, int64_t groups, float threshold,
             uint32_t& found)
      : step_(step),
        first_(first),
        groups_(groups),
        threshold_(threshold),
        found_(found) {}

  // The lanes of key 2 i, and between them those of key 2 i + 1, to be summed.
  [[gnu::always_inline]] void Two(int64_t i) {
    const int32_t* sums = step_.sums + (first_ + 2 * i) * dsv::kIndexHeadGroup;
    const PackedHeads* heads = HeadsOf(step_.packed);
    __m512i a = _mm512_setzero_si512();
    __m512i b = _mm512_setzero_si512();
    for (int64_t g = 0; g < groups_; ++g, sums += kGroupSums) {
      const __m512i w = _mm512_load_si512(heads[g].bound);
      a = _mm512_dpwssd_epi32(a, Clamped(sums), w);
      b = _mm512_dpwssd_epi32(b, Clamped(sums + dsv::kIndexHeadGroup), w);
    }
    pairs_[i] = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  }

  void End() const {
    const __m512i whole =
        _mm512_add_epi32(SumOfEach(), _mm512_set1_epi32(step_.packed->offset));
    const __m512 bound = _mm512_maskz_cvt_roundepi32_ps(
        0xFFFF, whole, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
    const __m512 scale = Mul(Load(step_.scales->scale + first_), Broadcast(step_.packed->unit));
    const __mmask16 above =
        _mm512_cmp_ps_mask(Mul(bound, scale), Broadcast(threshold_), _CMP_GT_OQ);
    // Odd keys and those whose dot products may have been clamped.
    const __mmask16 unknown = _mm512_cmpgt_epi32_mask(
        LoadInts(step_.scales->reach + first_), BroadcastInt(step_.packed->reach_limit));
    const auto bits = static_cast<uint32_t>(above | unknown) << first_;
    found_ = first_ == 0 ? bits : found_ | bits;
  }

 private:
  // Dot products with 32 heads, clamped to 0 ... 2^16 - 1, less 2^15.
  [[gnu::always_inline]] static __m512i Clamped(const int32_t* sums) {
    const __m512i dots =
        _mm512_packus_epi32(_mm512_load_si512(sums), _mm512_load_si512(sums + 16));
    return _mm512_xor_si512(dots, _mm512_set1_epi16(-32768));
  }

  // Lane i is the sum of the lanes of key i.
  __m512i SumOfEach() const {
    __m512i four[4];
    for (int i = 0; i < 4; ++i) {
      four[i] = _mm512_add_epi32(_mm512_unpacklo_epi64(pairs_[2 * i], pairs_[2 * i + 1]),
                                 _mm512_unpackhi_epi64(pairs_[2 * i], pairs_[2 * i + 1]));
    }
    const auto fold = [](__m512i a, __m512i b) {
      return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xDD));
    };
    return fold(fold(four[0], four[1]), fold(four[2], four[3]));
  }

  const IndexStep& step_;
  int64_t first_;
  int64_t groups_;
  float threshold_;
  uint32_t& found_;
  __m512i pairs_[8];
};

struct FinishFilter {
  const dsv::IndexFilterJob& job;
  int64_t groups;

  uint32_t& Found(int64_t query, int64_t run) const {
    return job.found[query * job.run_count + run];
  }
  uint32_t Existing(int64_t run) const {
    const int64_t count = job.runs[run].count;
    return count < dsv::kKeyRun ? (1U << count) - 1U : ~0U;
  }

  FilterHalf Half(const IndexStep& step, int64_t first) const {
    return {step, first, groups, job.thresholds[step.query], Found(step.query, step.run)};
  }
  void End(const IndexStep& step) const { Found(step.query, step.run) &= Existing(step.run); }
};

void TileFilter(const dsv::IndexFilterJob& job) {
  const IndexScratch scratch(job.scratch, job.queries.heads);
  FinishFilter finish{job, HeadGroups(job.queries.heads)};
  if (job.queries.width == kTileWidth) {
    TilePipeline(job.queries, job.runs, job.run_count, scratch, finish).Run();
  }
  const int64_t bytes = PackedQueryBytes(job.queries.heads, job.queries.width);
  for (int64_t i = 0; i < job.queries.queries; ++i) {
    const auto* packed = static_cast<const char*>(job.queries.packed) + i * bytes;
    if (reinterpret_cast<const PackedQuery*>(packed)->is_regular != 0) continue;
    for (int64_t r = 0; r < job.run_count; ++r) finish.Found(i, r) = finish.Existing(r);
  }
}

constexpr dsv::IndexKernels kTileIndex{.scores = TileScores,
                                       .scratch_bytes = TileScratchBytes,
                                       .filter = TileFilter,
                                       .packed_bytes = PackedQueryBytes,
                                       .pack = PackQueries};

}  // namespace
