// Pooling and selection against the plain reference, with shapes that the
// fixture models do not have.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "attention/compressor.h"
#include "attention/index_scorer.h"
#include "attention/indexer.h"
#include "kernels/kernels.h"
#include "kernels/quant.h"
#include "kernels/reference/reference.h"
#include "support/random_values.h"
#include "tensor/number_formats.h"

namespace dsv {
namespace {

using testing::RandomFloats;
using testing::ToDouble;

using Floats = std::vector<float>;

struct Context {
  explicit Context(Precision precision, int64_t threads = 2)
      : pool(threads), op{**SelectKernels(ForcedIsa()), pool, precision} {}
  ThreadPool pool;
  OpContext op;
};

TEST(PoolGroup, IsASoftmaxPerChannel) {
  const Kernels* kernels = *SelectKernels(ForcedIsa());
  for (const bool overlap : {false, true}) {
    const int64_t width = 6;
    const int64_t row_width = overlap ? 2 * width : width;
    const size_t n = overlap ? 8 : 128;
    auto kv = RandomFloats(n * static_cast<size_t>(row_width), 1);
    auto gate = RandomFloats(kv.size(), 2);
    for (float& value : gate) value *= 10;
    for (const size_t missing : {size_t{0}, overlap ? size_t{4} : size_t{0}}) {
      std::vector<const float*> kv_rows;
      std::vector<const float*> gate_rows;
      for (size_t r = 0; r < n; ++r) {
        const auto at = static_cast<int64_t>(r) * row_width;
        kv_rows.push_back(r < missing ? nullptr : kv.data() + at);
        gate_rows.push_back(r < missing ? nullptr : gate.data() + at);
      }
      Floats out(static_cast<size_t>(width));
      kernels->gates.pool({.kv = kv_rows.data(),
                           .gate = gate_rows.data(),
                           .rows = static_cast<int64_t>(n),
                           .overlap = overlap,
                           .width = width},
                          out.data());
      for (int64_t i = 0; i < width; ++i) {
        reference::Vector<double> logits;
        reference::Vector<double> values;
        for (size_t r = missing; r < n; ++r) {
          // Overlapping groups: the previous group's first half, the current group's second half.
          const int64_t channel = overlap && r >= n / 2 ? width + i : i;
          logits.push_back(gate_rows[r][channel]);
          values.push_back(kv_rows[r][channel]);
        }
        EXPECT_NEAR(out[static_cast<size_t>(i)], reference::Dot(reference::Softmax(logits), values),
                    1e-6);
      }
    }
  }
}

ModelConfig IndexConfig(int64_t heads, int64_t head_dim, int64_t top_k) {
  ModelConfig config;
  config.index_n_heads = heads;
  config.index_head_dim = head_dim;
  config.index_topk = top_k;
  config.rms_norm_eps = 1e-6;
  return config;
}

// Index keys of 32 components outside of a session.
struct Rows32 {
  explicit Rows32(Precision precision)
      : area(layout.Add(RowFormat::IndexKey(precision, 32), 4)),
        blocks(layout.bytes()),
        rows(blocks, area) {}
  BlockLayout layout;
  RowArea area;
  RowBlocks blocks;
  RowStore rows;
};

// Appendix A.5: rows visible at t = 0, 1, 2, 3, 4, 6, 7, 8 are 0, 0, 0, 1, 1, 1, 2, 2.
TEST(Indexer, SeesTheGroupThatItsTokenCloses) {
  const Context context(Precision::kReference);
  const IndexerWeights weights;
  const std::vector<float> frequencies;
  const Indexer indexer(weights, IndexConfig(1, 32, 100), frequencies);
  const Rows32 keys(Precision::kReference);
  std::vector<std::vector<int64_t>> selected(9);
  indexer.Select(context.op, {0, 9, 0}, nullptr, nullptr, keys.rows, selected.data());
  const std::vector<size_t> visible{0, 0, 0, 1, 1, 1, 1, 2, 2};
  for (size_t t = 0; t < 9; ++t) EXPECT_EQ(selected[t].size(), visible[t]) << t;
  EXPECT_EQ(selected[8], (std::vector<int64_t>{0, 1}));
}

// Scores by the definition of section 4.8 in double.
std::vector<float> Scores(const Floats& iq, const Floats& w, const Floats& keys, int64_t width,
                          int64_t visible) {
  std::vector<float> scores;
  for (int64_t s = 0; s < visible; ++s) {
    double sum = 0;
    for (size_t h = 0; h < w.size(); ++h) {
      double dot = 0;
      for (int64_t i = 0; i < width; ++i) {
        dot += static_cast<double>(iq[h * static_cast<size_t>(width) + static_cast<size_t>(i)]) *
               keys[static_cast<size_t>(s * width + i)];
      }
      sum += std::max(dot, 0.0) * w[h];
    }
    scores.push_back(static_cast<float>(sum));
  }
  return scores;
}

// The packed keys give the scores of the definition, every rounding included, and the same bits
// whatever the number of queries, keys and heads.
TEST(IndexScorer, EqualsTheDefinition) {
  const Context context(Precision::kReference);
  constexpr int64_t kWidth = 32;
  constexpr int64_t kKeys = 40;
  for (const int64_t heads : {1, 3, 4, 9, 64}) {
    constexpr int64_t kQueries = 3;
    auto iq = RandomFloats(static_cast<size_t>(kQueries * heads * kWidth), 1);
    auto w = RandomFloats(static_cast<size_t>(kQueries * heads), 2);
    auto keys = RandomFloats(kKeys * kWidth, 3);
    for (size_t i = 0; i < keys.size(); ++i) keys[i] *= std::exp2(static_cast<float>(i % 7));
    for (int64_t i = 0; i < kQueries * heads; ++i) SimulateFp4(kScalarKernels, iq.data() + i * kWidth, kWidth);
    for (int64_t i = 0; i < kKeys; ++i) SimulateFp4(kScalarKernels, keys.data() + i * kWidth, kWidth);
    for (float& value : w) value = RoundBf16(value);
    Rows32 store(Precision::kReference);
    for (int64_t i = 0; i < kKeys; ++i) store.rows.Append(keys.data() + i * kWidth);
    IndexScorer scorer(heads, kWidth);
    scorer.SetQueries(context.op, iq.data(), w.data(), kQueries);
    for (const int64_t count : {1, 5, 16, 17, 31, 32, 33, 40}) {
      const int64_t stride = IndexScorer::Stride(count);
      Floats scores(static_cast<size_t>(kQueries * stride), NAN);
      scorer.Score(context.op, store.rows, 0, count, scores.data());
      for (int64_t q = 0; q < kQueries; ++q) {
        for (int64_t s = 0; s < count; ++s) {
          Floats parts;
          for (int64_t h = 0; h < heads; ++h) {
            double dot = 0;
            for (int64_t i = 0; i < kWidth; ++i) {
              dot += static_cast<double>(iq[static_cast<size_t>((q * heads + h) * kWidth + i)]) *
                     keys[static_cast<size_t>(s * kWidth + i)];
            }
            const float a = std::max(RoundBf16(static_cast<float>(dot)), 0.0F);
            parts.push_back(RoundBf16(a * w[static_cast<size_t>(q * heads + h)]));
          }
          ASSERT_EQ(scores[static_cast<size_t>(q * stride + s)],
                    RoundBf16(reference::SumOfHeads(parts)))
              << q << " " << s;
        }
      }
    }
  }
}

TEST(Indexer, SelectsTheLargestScores) {
  constexpr int64_t kHeads = 3;
  constexpr int64_t kWidth = 32;
  const IndexerWeights weights;
  const std::vector<float> frequencies;
  const Context one(Precision::kF32, 1);
  const Context three(Precision::kF32, 3);
  for (const int64_t top_k : {1, 8, 40}) {
    const Indexer indexer(weights, IndexConfig(kHeads, kWidth, top_k), frequencies);
    // Small integers times halves: the dot products are exact, and ties are frequent.
    auto keys = RandomFloats(200 * kWidth, 4);
    for (float& value : keys) value = std::round(value * 2);
    Rows32 store(Precision::kF32);
    for (int64_t s = 0; s < 200; ++s) store.rows.Append(keys.data() + s * kWidth);
    for (const int64_t position : {0, 150, 530, 759}) {
      const int64_t rows = 21;
      auto iq = RandomFloats(static_cast<size_t>(rows * kHeads * kWidth), 5);
      for (float& value : iq) value = std::round(value * 2) / 2;
      auto w = RandomFloats(static_cast<size_t>(rows * kHeads), 6);
      for (float& value : w) value = std::round(value * 2);
      const Segment segment{0, rows, position};
      std::vector<std::vector<int64_t>> selected(rows);
      std::vector<std::vector<int64_t>> threaded(rows);
      indexer.Select(one.op, segment, iq.data(), w.data(), store.rows, selected.data());
      indexer.Select(three.op, segment, iq.data(), w.data(), store.rows, threaded.data());
      EXPECT_EQ(selected, threaded);
      for (int64_t t = 0; t < rows; ++t) {
        const auto query = iq.begin() + t * kHeads * kWidth;
        const auto scores = Scores({query, query + kHeads * kWidth},
                                   {w.begin() + t * kHeads, w.begin() + (t + 1) * kHeads}, keys,
                                   kWidth, (position + t + 1) / 4);
        EXPECT_EQ(selected[static_cast<size_t>(t)], reference::TopK(scores, top_k))
            << "top " << top_k << " position " << position + t;
      }
    }
  }
}

// So many keys that few queries share them out among the threads.
TEST(Indexer, ThreadsChangeNoSelection) {
  constexpr int64_t kHeads = 2;
  constexpr int64_t kWidth = 32;
  constexpr int64_t kKeys = 3000;
  const IndexerWeights weights;
  const std::vector<float> frequencies;
  const Indexer indexer(weights, IndexConfig(kHeads, kWidth, 100), frequencies);
  auto keys = RandomFloats(kKeys * kWidth, 1);
  for (float& value : keys) value = std::round(value * 2);
  Rows32 store(Precision::kF32);
  for (int64_t s = 0; s < kKeys; ++s) store.rows.Append(keys.data() + s * kWidth);
  for (const int64_t rows : {1, 2, 5}) {
    auto iq = RandomFloats(static_cast<size_t>(rows * kHeads * kWidth), 2);
    for (float& value : iq) value = std::round(value * 2) / 2;
    const auto w = RandomFloats(static_cast<size_t>(rows * kHeads), 3);
    const Segment segment{0, rows, 4 * kKeys - rows};
    for (const int64_t threads : {1, 2, 3, 8}) {
      const Context context(Precision::kF32, threads);
      std::vector<std::vector<int64_t>> selected(static_cast<size_t>(rows));
      indexer.Select(context.op, segment, iq.data(), w.data(), store.rows, selected.data());
      for (int64_t t = 0; t < rows; ++t) {
        const auto query = iq.begin() + t * kHeads * kWidth;
        const auto scores = Scores({query, query + kHeads * kWidth},
                                   {w.begin() + t * kHeads, w.begin() + (t + 1) * kHeads}, keys,
                                   kWidth, (segment.position + t + 1) / 4);
        ASSERT_EQ(selected[static_cast<size_t>(t)], reference::TopK(scores, 100))
            << threads << " threads, query " << t << " of " << rows;
      }
    }
  }
}

// Long packed keys, which a filter may thin out before they are scored, among them equal ones.
TEST(Indexer, SelectsTheLargestOfPackedKeys) {
  constexpr int64_t kHeads = 5;
  constexpr int64_t kWidth = 128;
  constexpr int64_t kKeys = 5000;
  const IndexerWeights weights;
  const std::vector<float> frequencies;
  BlockLayout layout;
  const RowArea area = layout.Add(RowFormat::IndexKey(Precision::kReference, kWidth), 4);
  RowBlocks blocks(layout.bytes());
  RowStore store(blocks, area);
  auto keys = RandomFloats(kKeys * kWidth, 1);
  std::copy_n(keys.begin(), 500 * kWidth, keys.begin() + 3000 * kWidth);
  for (int64_t s = 0; s < kKeys; ++s) {
    keys[static_cast<size_t>(s * kWidth)] *= s % 50 == 7 ? 100.0F : 1.0F;
    SimulateFp4(kScalarKernels, keys.data() + s * kWidth, kWidth);
    store.Append(keys.data() + s * kWidth);
  }
  for (const int64_t top_k : {1, 60, 512}) {
    const Indexer indexer(weights, IndexConfig(kHeads, kWidth, top_k), frequencies);
    for (const int64_t rows : {1, 2, 40}) {
      auto iq = RandomFloats(static_cast<size_t>(rows * kHeads * kWidth), 2);
      for (int64_t i = 0; i < rows * kHeads; ++i) {
        SimulateFp4(kScalarKernels, iq.data() + i * kWidth, kWidth);
      }
      auto w = RandomFloats(static_cast<size_t>(rows * kHeads), 3);
      for (float& value : w) value = RoundBf16(value);
      const Segment segment{0, rows, 4 * kKeys - rows};
      for (const int64_t threads : {1, 2, 3}) {
        const Context context(Precision::kReference, threads);
        std::vector<std::vector<int64_t>> selected(static_cast<size_t>(rows));
        indexer.Select(context.op, segment, iq.data(), w.data(), store, selected.data());
        IndexScorer scorer(kHeads, kWidth);
        scorer.SetQueries(context.op, iq.data(), w.data(), rows);
        const int64_t stride = IndexScorer::Stride(kKeys);
        Floats scores(static_cast<size_t>(rows * stride));
        scorer.Score(context.op, store, 0, kKeys, scores.data());
        for (int64_t t = 0; t < rows; ++t) {
          const auto row = scores.begin() + t * stride;
          const Floats visible(row, row + (segment.position + t + 1) / 4);
          ASSERT_EQ(selected[static_cast<size_t>(t)], reference::TopK(visible, top_k))
              << "top " << top_k << " query " << t << " of " << rows << ", " << threads
              << " threads";
        }
      }
    }
  }
}

TEST(IndexScorer, RoundsEveryStepAndKeepsNegativeScores) {
  const Context context(Precision::kReference);
  constexpr int64_t kWidth = 32;
  // Two heads and three keys; every value is one of FP4.
  Floats iq(2 * kWidth, 0.0F);
  iq[0] = 1;
  iq[kWidth] = 1;
  iq[1] = 0.25F;
  iq[kWidth + 1] = 1;
  Rows32 store(Precision::kReference);
  for (const auto& [x, y] : {std::pair{1.5F, 0.5F}, {-4.0F, 6.0F}, {4.0F, -4.0F}}) {
    Floats key(kWidth, 0.0F);
    key[0] = x;
    key[1] = y;
    store.rows.Append(key.data());
  }
  const Floats w{-0.5F, 0.25F};
  IndexScorer scorer(2, kWidth);
  Floats simulated = iq;
  SimulateFp4(kScalarKernels, simulated.data(), kWidth);
  ASSERT_EQ(simulated, iq);
  scorer.SetQueries(context.op, iq.data(), w.data(), 1);
  Floats scores(static_cast<size_t>(IndexScorer::Stride(3)));
  scorer.Score(context.op, store.rows, 0, 3, scores.data());
  scores.resize(3);
  // Head 0: 1.625, -2.5 (nothing), 3; head 1: 2, 2, 0.
  EXPECT_EQ(scores, (Floats{-0.8125F + 0.5F, 0.5F, -1.5F}));
}

}  // namespace
}  // namespace dsv
