// The filter of the index scan: an upper bound of the score, in integers and without its roundings,
// against a threshold.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/index_amx.h"

namespace {

// Lane i becomes the sum of the lanes of v[i].
inline __m512i SumOfEach(__m512i (&v)[16]) {
  __m512i pair[8];
  for (int i = 0; i < 8; ++i) {
    pair[i] = _mm512_add_epi32(_mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]),
                               _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]));
  }
  __m512i four[4];
  for (int i = 0; i < 4; ++i) {
    four[i] = _mm512_add_epi32(_mm512_unpacklo_epi64(pair[2 * i], pair[2 * i + 1]),
                               _mm512_unpackhi_epi64(pair[2 * i], pair[2 * i + 1]));
  }
  const auto fold = [](__m512i a, __m512i b) {
    return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xDD));
  };
  return fold(fold(four[0], four[1]), fold(four[2], four[3]));
}

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

  void Keys(const IndexStep& step, int64_t first) const {
    const PackedHeads* heads = HeadsOf(step.packed);
    const __m512i middle = _mm512_set1_epi16(-32768);
    __m512i bounds[16];
    for (__m512i& bound : bounds) bound = _mm512_setzero_si512();
    for (int64_t g = 0; g < groups; ++g) {
      const __m512i w = _mm512_load_si512(heads[g].bound);
      const int32_t* sums = step.sums + g * kGroupSums + first * dsv::kIndexHeadGroup;
#pragma GCC unroll 16
      for (int64_t s = 0; s < 16; ++s) {
        // Clamped to 0 ... 2^16 - 1, less 2^15.
        const __m512i dots =
            _mm512_packus_epi32(_mm512_load_si512(sums + s * dsv::kIndexHeadGroup),
                                _mm512_load_si512(sums + s * dsv::kIndexHeadGroup + 16));
        bounds[s] = _mm512_dpwssd_epi32(bounds[s], _mm512_xor_si512(dots, middle), w);
      }
    }
    const __m512i whole =
        _mm512_add_epi32(SumOfEach(bounds), _mm512_set1_epi32(step.packed->offset));
    const __m512 bound = _mm512_maskz_cvt_roundepi32_ps(
        0xFFFF, whole, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
    const __m512 scale = Mul(Load(step.keys->scale + first), Broadcast(step.packed->unit));
    const __mmask16 above = _mm512_cmp_ps_mask(
        Mul(bound, scale), Broadcast(job.thresholds[step.query]), _CMP_GT_OQ);
    // Odd keys and those whose dot products may have been clamped.
    const __mmask16 unknown = _mm512_cmpgt_epi32_mask(
        LoadInts(step.keys->reach + first), BroadcastInt(step.packed->reach_limit));
    const auto bits = static_cast<uint32_t>(above | unknown) << first;
    uint32_t& found = Found(step.query, step.run);
    found = first == 0 ? bits : (found | bits) & Existing(step.run);
  }

  void End(const IndexStep& /*step*/) const {}
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
