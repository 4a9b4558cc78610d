// Index scores of every instruction set of this machine, bit for bit those of the definition: all
// shapes, lengths and misalignments, scales that do and do not suit the fast paths, and NaN keys.
#include "kernels/index_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/quant.h"
#include "kernels/reference/reference.h"
#include "tensor/number_formats.h"

namespace dsv {
namespace {

constexpr int64_t kBlock = 32;

// How the scales of a row's blocks differ.
enum class Scales : uint8_t { kAlike, kNear, kWild };

int RandomExponent(std::mt19937& random, Scales scales) {
  const auto pick = static_cast<int>(random() % 1000);
  if (scales == Scales::kAlike) return pick % 2;
  if (scales == Scales::kNear) return pick % 4 - 2;
  return pick % 120 - 60;
}

// Queries and keys by their stored codes.
struct IndexData {
  IndexData(int64_t queries, int64_t heads_, int64_t width_, int64_t keys, Scales scales,
            uint32_t seed)
      : heads(heads_), width(width_), random(seed) {
    for (int64_t b = 0; b < queries * heads * width / kBlock; ++b) AddQueryBlock(scales);
    for (int64_t i = 0; i < queries * heads; ++i) {
      const float sign = random() % 3 == 0 ? -1.0F : 1.0F;
      w.push_back(RoundBf16(sign * static_cast<float>(random() % 2000) / 2000));
    }
    bytes.assign(1, 0);  // takes away the alignment
    for (int64_t s = 0; s < keys; ++s) {
      for (int64_t i = 0; i < width / 2; ++i) bytes.push_back(static_cast<uint8_t>(random()));
      for (int64_t b = 0; b < width / kBlock; ++b) {
        bytes.push_back(static_cast<uint8_t>(127 + RandomExponent(random, scales)));
      }
    }
  }

  void AddQueryBlock(Scales scales) {
    int32_t sum = 0;
    for (int64_t i = 0; i < kBlock; ++i) {
      const float value = E2m1ToFloat(static_cast<uint8_t>(random() & 15U));
      q.push_back(static_cast<int8_t>(2 * value));
      sum += q.back();
    }
    correction.push_back(-kIndexKeyBias * sum);
    scale.push_back(std::ldexp(0.25F, RandomExponent(random, scales)));
  }

  int64_t KeyBytes() const { return width / 2 + width / kBlock; }
  uint8_t* Key(int64_t s) { return bytes.data() + 1 + s * KeyBytes(); }
  int64_t queries() const { return static_cast<int64_t>(w.size()) / heads; }

  std::vector<KeyRun> Runs(int64_t keys) {
    std::vector<KeyRun> runs;
    for (int64_t s = 0; s < keys; s += kKeyRun) {
      runs.push_back({Key(s), std::min(kKeyRun, keys - s)});
    }
    return runs;
  }

  float Dot(int64_t row, const uint8_t* key) const {
    const int64_t blocks = width / kBlock;
    float dot = 0;
    for (int64_t b = 0; b < blocks; ++b) {
      int32_t sum = 0;
      for (int64_t i = b * kBlock; i < (b + 1) * kBlock; ++i) {
        const auto code = static_cast<uint8_t>(i % 2 == 0 ? key[i / 2] & 15U : key[i / 2] >> 4U);
        sum += q[static_cast<size_t>(row * width + i)] * static_cast<int>(2 * E2m1ToFloat(code));
      }
      const float key_scale = E8m0ToFloat(key[width / 2 + b]);
      dot += static_cast<float>(sum) * (key_scale * scale[static_cast<size_t>(row * blocks + b)]);
    }
    return dot;
  }

  float Score(int64_t query, const uint8_t* key) const {
    std::vector<float> parts;
    for (int64_t row = query * heads; row < (query + 1) * heads; ++row) {
      const float a = RoundBf16(Dot(row, key));
      parts.push_back(RoundBf16((a < 0 ? 0.0F : a) * w[static_cast<size_t>(row)]));
    }
    return RoundBf16(reference::SumOfHeads(parts));
  }

  int64_t heads;
  int64_t width;
  std::mt19937 random;
  std::vector<int8_t> q;
  std::vector<float> scale;
  std::vector<int32_t> correction;
  std::vector<float> w;
  std::vector<uint8_t> bytes;
};

struct alignas(64) CacheLine {
  std::byte bytes[64];
};

std::vector<CacheLine> Lines(int64_t bytes) {
  return std::vector<CacheLine>(static_cast<size_t>(bytes) / sizeof(CacheLine) + 1);
}

class IndexKernelsTest : public ::testing::TestWithParam<const Kernels*> {
 protected:
  // The packed form is kept in packed_.
  IndexQueries Queries(const IndexData& data) {
    IndexQueries queries{.q = data.q.data(),
                         .q_scale = data.scale.data(),
                         .q_correction = data.correction.data(),
                         .w = data.w.data(),
                         .queries = data.queries(),
                         .heads = data.heads,
                         .width = data.width,
                         .packed = nullptr};
    if (kernels_.pack == nullptr) return queries;
    packed_ = Lines(queries.queries * kernels_.packed_bytes(data.heads, data.width));
    kernels_.pack(queries, packed_.data());
    queries.packed = packed_.data();
    return queries;
  }

  void Check(IndexData& data, int64_t keys) {
    const std::vector<KeyRun> runs = data.Runs(keys);
    auto scratch = Lines(kernels_.scratch_bytes(data.heads, data.width));
    const auto stride = static_cast<int64_t>(runs.size()) * kKeyRun;
    std::vector<float> scores(static_cast<size_t>(data.queries() * stride));
    const IndexQueries queries = Queries(data);
    kernels_.scores({queries, runs.data(), std::ssize(runs), scratch.data(), scores.data()});
    std::vector<float> expected(scores.size());
    for (int64_t i = 0; i < data.queries(); ++i) {
      for (int64_t s = 0; s < keys; ++s) {
        const auto at = static_cast<size_t>(i * stride + s);
        expected[at] = data.Score(i, data.Key(s));
        if (std::isnan(expected[at])) {
          ASSERT_TRUE(std::isnan(scores[at])) << What(data, i, s);
        } else {
          ASSERT_EQ(std::bit_cast<uint32_t>(scores[at]), std::bit_cast<uint32_t>(expected[at]))
              << What(data, i, s) << ": expected " << expected[at] << ", found " << scores[at];
        }
      }
    }
    if (kernels_.filter != nullptr && keys > 0) CheckFilter(data, queries, runs, keys, expected);
  }

  // Thresholds that are among the scores; every larger score must be found.
  void CheckFilter(const IndexData& data, const IndexQueries& queries,
                   const std::vector<KeyRun>& runs, int64_t keys, const std::vector<float>& scores) {
    auto scratch = Lines(kernels_.scratch_bytes(data.heads, data.width));
    const auto stride = static_cast<int64_t>(runs.size()) * kKeyRun;
    std::vector<float> thresholds;
    for (int64_t i = 0; i < data.queries(); ++i) {
      const float some = scores[static_cast<size_t>(i * stride + (i * 7 + 3) % keys)];
      thresholds.push_back(std::isnan(some) ? 0 : some);
    }
    std::vector<uint32_t> found(static_cast<size_t>(data.queries()) * runs.size());
    kernels_.filter({queries, runs.data(), std::ssize(runs), scratch.data(), thresholds.data(),
                     found.data()});
    for (int64_t i = 0; i < data.queries(); ++i) {
      for (int64_t s = 0; s < stride; ++s) {
        const uint32_t bits = found[static_cast<size_t>(i * std::ssize(runs) + s / kKeyRun)];
        const bool is_found = (bits >> (s % kKeyRun) & 1U) != 0;
        if (s >= keys) {
          ASSERT_FALSE(is_found) << What(data, i, s) << " does not exist";
        } else if (scores[static_cast<size_t>(i * stride + s)] >
                   thresholds[static_cast<size_t>(i)]) {
          ASSERT_TRUE(is_found) << What(data, i, s);
        }
      }
    }
  }

  static std::string What(const IndexData& data, int64_t query, int64_t key) {
    return "heads " + std::to_string(data.heads) + " width " + std::to_string(data.width) +
           " query " + std::to_string(query) + " key " + std::to_string(key);
  }

  const IndexKernels& kernels_ = GetParam()->index;
  std::vector<CacheLine> packed_;
};

TEST_P(IndexKernelsTest, EveryNumberOfKeys) {
  for (int64_t keys = 0; keys <= 70; ++keys) {
    IndexData data(2, 64, 128, keys, keys % 2 == 0 ? Scales::kAlike : Scales::kNear, 1);
    Check(data, keys);
  }
}

TEST_P(IndexKernelsTest, EveryNumberOfHeads) {
  for (const int64_t heads : {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100, 128}) {
    for (const Scales scales : {Scales::kAlike, Scales::kNear, Scales::kWild}) {
      IndexData data(3, heads, 128, 45, scales, static_cast<uint32_t>(heads));
      Check(data, 45);
    }
  }
}

TEST_P(IndexKernelsTest, EveryWidth) {
  for (int64_t width = 32; width <= 256; width += 32) {
    for (const int64_t heads : {1, 5, 64}) {
      IndexData data(2, heads, width, 37, Scales::kNear, static_cast<uint32_t>(width));
      Check(data, 37);
    }
  }
}

TEST_P(IndexKernelsTest, EveryNumberOfQueries) {
  for (int64_t queries = 1; queries <= 17; ++queries) {
    IndexData data(queries, 64, 128, 600, Scales::kAlike, 5);
    Check(data, queries % 4 == 0 ? 600 : 100);
  }
}

// One query or key that does not suit the fast path among others that do.
TEST_P(IndexKernelsTest, OddOnesAmongOthers) {
  IndexData data(6, 64, 128, 96, Scales::kAlike, 6);
  const int64_t key_bytes = data.KeyBytes();
  data.Key(3)[key_bytes - 1] = 255;
  data.Key(40)[key_bytes - 2] = 0;
  data.Key(41)[key_bytes - 4] = 140;
  data.Key(95)[key_bytes - 3] = 124;
  for (int64_t i = 0; i < key_bytes - 4; ++i) data.Key(5)[i] = 0x77;   // all largest
  for (int64_t i = 0; i < key_bytes - 4; ++i) data.Key(6)[i] = 0x88;   // all -0
  std::fill_n(data.q.begin() + 2 * 64 * 128, 32, int8_t{0});  // a block of zeros, tiny scale
  data.correction[2 * 64 * 4] = 0;
  data.scale[2 * 64 * 4] = 0x1p-126F;
  data.w[64 + 5] = std::numeric_limits<float>::quiet_NaN();
  data.w[3 * 64 + 9] = 0x1p-100F;
  data.w[4 * 64 + 1] = -0.0F;
  std::fill_n(data.q.begin() + 5 * 64 * 128, 64 * 128, int8_t{12});
  std::fill_n(data.correction.begin() + 5 * 64 * 4, 64 * 4, -kIndexKeyBias * 12 * 32);
  Check(data, 96);
}

// What the filter is for.
TEST_P(IndexKernelsTest, FilterFindsFew) {
  if (kernels_.filter == nullptr) return;
  IndexData data(8, 64, 128, 2048, Scales::kAlike, 7);
  const std::vector<KeyRun> runs = data.Runs(2048);
  std::vector<float> scores(8 * 2048);
  auto scratch = Lines(kernels_.scratch_bytes(64, 128));
  const IndexQueries queries = Queries(data);
  kernels_.scores({queries, runs.data(), std::ssize(runs), scratch.data(), scores.data()});
  std::vector<float> thresholds;
  for (int64_t i = 0; i < 8; ++i) {
    std::vector<float> sorted(scores.begin() + i * 2048, scores.begin() + (i + 1) * 2048);
    std::sort(sorted.begin(), sorted.end());
    thresholds.push_back(sorted[2048 - 64]);
  }
  std::vector<uint32_t> found(8 * runs.size());
  kernels_.filter({queries, runs.data(), std::ssize(runs), scratch.data(), thresholds.data(),
                   found.data()});
  int64_t count = 0;
  for (const uint32_t bits : found) count += std::popcount(bits);
  EXPECT_GE(count, 8 * 32);
  EXPECT_LE(count, 8 * 96);
}

std::vector<const Kernels*> Available() {
  std::vector<const Kernels*> available;
  for (const char* name : {"scalar", "avx2", "avx512", "avx512bf16", "amx"}) {
    if (const auto kernels = SelectKernels(name)) available.push_back(*kernels);
  }
  return available;
}

INSTANTIATE_TEST_SUITE_P(All, IndexKernelsTest, ::testing::ValuesIn(Available()),
                         [](const auto& kernels) { return std::string(kernels.param->name); });

}  // namespace
}  // namespace dsv
