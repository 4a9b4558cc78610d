// Exponentials and what is made of them, on every instruction set of this machine, against double.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/reference/reference.h"
#include "support/available_kernels.h"
#include "support/random_values.h"
#include "tensor/number_formats.h"

namespace dsv {
namespace {

using testing::RandomFloats;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class GateKernelsTest : public ::testing::TestWithParam<const Kernels*> {
 protected:
  const GateKernels& gates_ = GetParam()->gates;
};

// The distance between floats at `value`.
double Ulp(double value) {
  const int exponent = value == 0 ? -200 : std::ilogb(value);
  return std::ldexp(1.0, std::max(exponent, -126) - 23);
}

// Floats of all magnitudes and both signs, in rows of 1,000.
template <class Visitor>
void ForEachRowOfFloats(const Visitor& visit) {
  constexpr uint64_t kStep = 40009;
  std::vector<float> x;
  for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += kStep) {
    x.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
    if (x.size() == 1000) {
      visit(x);
      x.clear();
    }
  }
}

TEST_P(GateKernelsTest, ExpOfFloatsOfEverySize) {
  ForEachRowOfFloats([&](const std::vector<float>& x) {
    std::vector<float> y(x.size());
    gates_.exp(x.data(), static_cast<int64_t>(x.size()), y.data());
    for (size_t i = 0; i < x.size(); ++i) {
      const double exact = std::exp(static_cast<double>(x[i]));
      if (std::isnan(x[i])) {
        ASSERT_TRUE(std::isnan(y[i]));
      } else if (std::isinf(static_cast<float>(exact))) {
        ASSERT_EQ(y[i], kInf) << x[i];
      } else {
        ASSERT_LE(std::fabs(y[i] - exact), 0.8 * Ulp(exact)) << x[i];
      }
    }
  });
  const std::vector<float> edges{kInf, -kInf, 0.0F, -0.0F, 88.72284F, 88.722839F, -104.1F};
  std::vector<float> y(edges.size());
  gates_.exp(edges.data(), static_cast<int64_t>(edges.size()), y.data());
  EXPECT_EQ(y, (std::vector<float>{kInf, 0, 1, 1, kInf, std::exp(88.722839F), 0}));
}

TEST_P(GateKernelsTest, RouterScoresOfFloatsOfEverySize) {
  ForEachRowOfFloats([&](const std::vector<float>& x) {
    std::vector<float> y(x.size());
    gates_.router_scores(x.data(), static_cast<int64_t>(x.size()), y.data());
    for (size_t i = 0; i < x.size(); ++i) {
      const double a = x[i];
      if (std::isnan(x[i])) {
        ASSERT_TRUE(std::isnan(y[i]));
        continue;
      }
      const double softplus = a > 40 ? a : std::log1p(std::exp(a));
      if (a < -87) {  // e^a is subnormal, and its half may lose a step of those
        ASSERT_LE(std::fabs(double{y[i]} * y[i] - softplus), 0x1p-148 + softplus * 0x1p-22) << a;
      } else {
        ASSERT_LE(std::fabs(y[i] - std::sqrt(softplus)), 2 * Ulp(std::sqrt(softplus))) << a;
      }
    }
  });
}

// A row's elements do not depend on its length, its place in memory or what lies behind it.
TEST_P(GateKernelsTest, LengthsChangeNoBit) {
  const auto g = RandomFloats(80, 1);
  const auto u = RandomFloats(80, 2);
  std::vector<float> whole(80);
  for (const bool round : {false, true}) {
    gates_.swiglu(g.data(), u.data(), 80, 0.5F, 1.5F, round, whole.data());
    for (int64_t begin = 0; begin < 4; ++begin) {
      for (int64_t n = 0; n <= 2 * 16 + 1; ++n) {
        std::vector<float> some(static_cast<size_t>(n) + 2, kNan);
        gates_.swiglu(g.data() + begin, u.data() + begin, n, 0.5F, 1.5F, round, some.data() + 1);
        for (int64_t i = 0; i < n; ++i) {
          ASSERT_EQ(some[static_cast<size_t>(i) + 1], whole[static_cast<size_t>(begin + i)]);
        }
        EXPECT_TRUE(std::isnan(some.front()) && std::isnan(some.back()));
      }
    }
  }
}

TEST_P(GateKernelsTest, SwiGluEqualsTheReference) {
  auto g = RandomFloats(1000, 3);
  auto u = RandomFloats(1000, 4);
  for (float& value : g) value *= 30;
  for (float& value : u) value *= 15;
  std::vector<float> v(g.size());
  std::vector<float> rounded(g.size());
  gates_.swiglu(g.data(), u.data(), 1000, 10.0F, 0.7F, false, v.data());
  gates_.swiglu(g.data(), u.data(), 1000, 10.0F, 0.7F, true, rounded.data());
  for (size_t i = 0; i < g.size(); ++i) {
    const double exact = reference::SwiGlu<double>(g[i], u[i], 10, 0.7F);
    EXPECT_LE(std::fabs(v[i] - exact), 4 * Ulp(exact)) << g[i];
    EXPECT_EQ(rounded[i], RoundBf16(v[i]));
  }
  const std::vector<float> gates{kNan, 1, kInf, -kInf, 1, -200};
  const std::vector<float> ups{1, kNan, 1, 1, -kInf, 1};
  std::vector<float> edge(6);
  gates_.swiglu(gates.data(), ups.data(), 6, 10.0F, 1.0F, true, edge.data());
  EXPECT_TRUE(std::isnan(edge[0]) && std::isnan(edge[1]));
  EXPECT_EQ(edge[2], RoundBf16(10.0F / (1.0F + std::exp(-10.0F))));
  EXPECT_TRUE(std::isnan(edge[3]));  // -inf / inf
  EXPECT_EQ(edge[4], RoundBf16(-10.0F / (1.0F + std::exp(-1.0F))));
  EXPECT_EQ(edge[5], 0.0F);
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, GateKernelsTest,
                         ::testing::ValuesIn(testing::AvailableKernels()), testing::NameOfKernels);

}  // namespace
}  // namespace dsv
