// The index scan of the kernel table: scores of packed keys (spec 4.8), every rounding point
// included.
//
// The dot product of two FP4 blocks is a sum of small integers, and the sum over heads has one order
// for all: of every 32 heads the even and the odd ones are summed apart, each ascending from 0, and
// both sums are added to the score. So scores have the same bits in every instruction set, and do
// not depend on what else is scored with them.
#pragma once

#include <cstdint>

namespace dsv {

// Keys are expanded to unsigned bytes: twice the E2M1 value plus this.
inline constexpr int32_t kIndexKeyBias = 12;
inline constexpr int64_t kIndexHeadGroup = 32;  // heads whose even and odd ones are summed apart
// Fewer heads would leave most of a group empty: their scores cost less than the filter of a group.
inline constexpr int64_t kLeastFilterHeads = 4;

// FP4 queries as integers: component = q * scale * 2 in blocks of 32, scale as in E8M0 / 4. `width`
// is a multiple of 32.
struct IndexQueries {
  const int8_t* q;              // [queries, heads, width], twice the E2M1 values
  const float* q_scale;         // [queries, heads, width / 32], a quarter of the scales
  const int32_t* q_correction;  // [queries, heads, width / 32], -kIndexKeyBias * sum of the block
  const float* w;               // [queries, heads]
  int64_t queries;
  int64_t heads;
  int64_t width;
  const void* packed;  // IndexKernels::pack of these queries; null if the set has none
};

// Keys that lie one after another without alignment: E2M1, width / 2 bytes, and E8M0, width / 32.
inline constexpr int64_t kKeyRun = 32;
struct KeyRun {
  const void* keys;
  int64_t count;  // 1 to kKeyRun
};

struct IndexScoreJob {
  IndexQueries queries;
  const KeyRun* runs;
  int64_t run_count;
  void* scratch;  // scratch_bytes, aligned to 64 bytes
  float* scores;  // [queries, run_count, kKeyRun]; those beyond the end of a run mean nothing
};

// Which keys may have a score above a threshold: a bit for each that has one, and few others.
struct IndexFilterJob {
  IndexQueries queries;
  const KeyRun* runs;
  int64_t run_count;
  void* scratch;            // scratch_bytes, aligned to 64 bytes
  const float* thresholds;  // [queries], bf16 values
  uint32_t* found;          // [queries, run_count], bit i is key i of the run
};

struct IndexKernels {
  void (*scores)(const IndexScoreJob& job);
  int64_t (*scratch_bytes)(int64_t heads, int64_t width);
  // Null if it would not be faster than the scores.
  void (*filter)(const IndexFilterJob& job) = nullptr;
  // What `scores` and `filter` want to know of every query, aligned to 64 bytes; null if nothing.
  int64_t (*packed_bytes)(int64_t heads, int64_t width) = nullptr;
  void (*pack)(const IndexQueries& queries, void* packed) = nullptr;
};

}  // namespace dsv
