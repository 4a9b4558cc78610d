// What a session holds after N tokens (spec 6.1), and mixing at zero (appendix A.4).
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/reference/reference.h"
#include "model/hyper_connection.h"
#include "support/model_fixture.h"
#include "support/random_values.h"

namespace dsv {
namespace {

using testing::RandomFloats;
using testing::TestModel;
using testing::ToDouble;

// Feeds `pieces` and returns the state.
SessionState StateAfter(const TestModel& model, const std::vector<size_t>& pieces) {
  ThreadPool pool(1);
  const OpContext context{testing::TestKernels(), pool, Precision::kReference};
  SessionState state = model.transformer.NewState(Precision::kReference, /*mtp=*/true);
  for (const size_t piece : pieces) {
    if (piece == 0) continue;
    std::vector<int32_t> tokens;
    for (size_t i = 0; i < piece; ++i) {
      tokens.push_back(static_cast<int32_t>((static_cast<size_t>(state.tokens()) + i) * 7 % 64));
    }
    const Work work{&state, tokens, Logits::kNone, Logits::kNone};
    model.transformer.Forward(context, std::span(&work, 1));
  }
  return state;
}

// Rows of an open group: kappa has `width` columns.
int64_t OpenRows(const OpenGroup& open, int64_t width) {
  EXPECT_EQ(open.kv.size(), open.gate.size());
  return static_cast<int64_t>(open.kv.size()) / width;
}

TEST(SessionState, HcaRowsCloseEvery128Tokens) {
  const TestModel model("one-hca-tiny");
  for (const size_t tokens : {1U, 126U, 127U, 128U, 129U, 255U, 256U, 257U}) {
    const SessionState state = StateAfter(model, {tokens / 2 + 1, tokens - tokens / 2 - 1});
    const auto n = static_cast<int64_t>(tokens);
    ASSERT_EQ(state.tokens(), n);
    EXPECT_EQ(state.layers[0].rows->size(), n / 128) << n;
    EXPECT_FALSE(state.layers[0].keys);
    EXPECT_EQ(OpenRows(state.layers[0].open, 128), n % 128) << n;
  }
}

TEST(SessionState, CsaKeepsTheGroupBeforeTheOpenOne) {
  const TestModel model("one-csa-tiny");
  for (size_t tokens = 2; tokens < 14; ++tokens) {
    const SessionState state = StateAfter(model, {tokens / 2, tokens - tokens / 2});
    const auto n = static_cast<int64_t>(tokens);
    const LayerState& layer = state.layers[0];
    EXPECT_EQ(layer.rows->size(), n / 4) << n;
    EXPECT_EQ(layer.keys->size(), n / 4) << n;
    const int64_t kept = n < 4 ? n : 4 + n % 4;
    EXPECT_EQ(OpenRows(layer.open, 256), kept) << n;
    EXPECT_EQ(OpenRows(layer.index_open, 256), kept) << n;
    EXPECT_EQ(layer.open.first_position, n < 4 ? 0 : n / 4 * 4 - 4);
  }
}

TEST(SessionState, GrowsByWholeBlocksAndKeepsAConstantTail) {
  const TestModel model("one-csa-tiny");
  const ModelConfig& config = model.transformer.config();
  const int64_t block = BlockLayout(config, Precision::kReference).bytes();
  EXPECT_EQ(block, 32 * (200 + 68));  // 64 E4M3, 1 E8M0, 64 bf16, padding; 64 E2M1, 4 E8M0
  const SessionState at_128 = StateAfter(model, {128});
  const SessionState at_384 = StateAfter(model, {384});
  EXPECT_EQ(at_384.TailBytes(), at_128.TailBytes());
  // Besides its rows a block holds its token ids and its place in the list.
  const int64_t grown = at_384.Bytes() - at_128.Bytes();
  EXPECT_GE(grown, 2 * block);
  EXPECT_LE(grown, 2 * (block + static_cast<int64_t>(sizeof(RowBlock))) + 1024);
}

// A copy goes on without the original, which keeps what it had.
TEST(SessionState, CopiesShareFullBlocksOnly) {
  const TestModel model("flash-tiny");
  for (const size_t tokens : {1U, 100U, 128U, 130U, 300U}) {
    SessionState state = StateAfter(model, {tokens});
    const SessionState copy = state.Copy();
    ASSERT_EQ(copy.tokens(), state.tokens());
    ASSERT_EQ(copy.blocks->full().size(), tokens / 128);
    for (size_t i = 0; i < tokens / 128; ++i) {
      EXPECT_EQ(copy.blocks->full()[i], state.blocks->full()[i]);
    }
    for (size_t layer = 0; layer < state.layers.size(); ++layer) {
      const auto& rows = state.layers[layer].rows;
      if (!rows || rows->size() * 128 / rows->rows_per_block() <= 128 * (state.tokens() / 128)) {
        continue;
      }
      EXPECT_NE(copy.layers[layer].rows->Stored(rows->size() - 1), rows->Stored(rows->size() - 1));
    }
  }
}

struct Mixing {
  Mixing(int64_t n, int64_t d, float scale) {
    config.hc_mult = n;
    config.hidden_size = d;
    config.hc_sinkhorn_iters = 20;
    config.hc_eps = 1e-6;
    config.rms_norm_eps = 1e-6;
    const int64_t out = (2 + n) * n;
    fn = RandomFloats(static_cast<size_t>(out * n * d), 1);
    base = RandomFloats(static_cast<size_t>(out), 2);
    alpha = {0.5F, 0.25F, 1.5F};
    for (auto* values : {&fn, &base}) {
      for (float& value : *values) value *= scale;
    }
    weights.fn = {MatrixFormat::kF32, out, n * d, Bytes(fn), nullptr};
    weights.base = {DType::kF32, out, Bytes(base)};
    weights.scale = {DType::kF32, 3, Bytes(alpha)};
  }
  static const std::byte* Bytes(const std::vector<float>& values) {
    return reinterpret_cast<const std::byte*>(values.data());
  }

  ModelConfig config;
  std::vector<float> fn;
  std::vector<float> base;
  std::vector<float> alpha;
  HyperConnectionWeights weights;
};

TEST(HyperConnection, ZeroInputs) {
  const Mixing mixing(4, 8, 0);
  ThreadPool pool(1);
  const OpContext context{testing::TestKernels(), pool, Precision::kReference};
  const std::vector<float> streams(32, 0.0F);
  std::vector<float> y(8);
  const HcCoefficients c =
      HcPre(context, mixing.weights, mixing.config, streams.data(), 1, y.data());
  EXPECT_EQ(c.pre, std::vector<float>(4, 0.500001F));
  EXPECT_EQ(c.post, std::vector<float>(4, 1.0F));
  for (const float value : c.comb) EXPECT_NEAR(value, 0.24999975, 1e-7);
  EXPECT_EQ(y, std::vector<float>(8, 0.0F));
}

TEST(HyperConnection, EqualsTheDefinition) {
  constexpr int64_t kN = 4;
  constexpr int64_t kD = 24;
  const Mixing mixing(kN, kD, 0.3F);
  ThreadPool pool(2);
  const OpContext context{testing::TestKernels(), pool, Precision::kF32};
  const auto streams = RandomFloats(2 * kN * kD, 3);
  const auto u = RandomFloats(2 * kD, 4);
  std::vector<float> y(2 * kD);
  const HcCoefficients c =
      HcPre(context, mixing.weights, mixing.config, streams.data(), 2, y.data());
  std::vector<float> next = streams;
  HcPost(context, c, mixing.config, u.data(), 2, next.data());
  for (int64_t t = 0; t < 2; ++t) {
    const auto begin = streams.begin() + t * kN * kD;
    const auto x = ToDouble({begin, begin + kN * kD});
    const double rho = 1 / std::sqrt(reference::Dot(x, x) / static_cast<double>(x.size()) + 1e-6);
    const auto affine = [&](int64_t i, size_t gate) {
      const auto row = mixing.fn.begin() + i * kN * kD;
      const double m = reference::Dot(ToDouble({row, row + kN * kD}), x) * rho;
      return m * mixing.alpha[gate] + mixing.base[static_cast<size_t>(i)];
    };
    reference::Matrix<double> comb(kN, reference::Vector<double>(kN));
    for (int64_t i = 0; i < kN * kN; ++i) {
      comb[static_cast<size_t>(i / kN)][static_cast<size_t>(i % kN)] = affine(2 * kN + i, 2);
    }
    comb = reference::Sinkhorn(comb, 20, 1e-6);
    for (int64_t i = 0; i < kD; ++i) {
      double sum = 0;
      for (int64_t j = 0; j < kN; ++j) {
        sum += (1 / (1 + std::exp(-affine(j, 0))) + 1e-6) * x[static_cast<size_t>(j * kD + i)];
      }
      EXPECT_NEAR(y[static_cast<size_t>(t * kD + i)], sum, 2e-6);
      for (int64_t k = 0; k < kN; ++k) {
        double mixed = 2 / (1 + std::exp(-affine(kN + k, 1))) * u[static_cast<size_t>(t * kD + i)];
        for (int64_t j = 0; j < kN; ++j) {
          mixed += comb[static_cast<size_t>(j)][static_cast<size_t>(k)] *
                   x[static_cast<size_t>(j * kD + i)];
        }
        EXPECT_NEAR(next[static_cast<size_t>((t * kN + k) * kD + i)], mixed, 2e-6);
      }
    }
  }
}

}  // namespace
}  // namespace dsv
