#include "kernels/norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/reference/reference.h"
#include "support/random_values.h"
#include "tensor/number_formats.h"

namespace dsv {
namespace {

using testing::RandomFloats;
using testing::ToDouble;

constexpr double kEps = 1e-6;

std::vector<float> RandomBf16(size_t n, uint32_t seed) {
  auto x = RandomFloats(n, seed);
  for (float& value : x) value = RoundBf16(value * 3);
  return x;
}

TEST(RmsNorm, EqualsTheReferenceWithOneRounding) {
  ThreadPool pool(2);
  const Kernels& kernels = **SelectKernels(ForcedIsa());
  for (const size_t n : {1U, 5U, 40U, 128U, 511U}) {
    const auto w = RandomFloats(n, 1);
    const VectorView weight{DType::kF32, static_cast<int64_t>(n),
                            reinterpret_cast<const std::byte*>(w.data())};
    const auto x = RandomBf16(3 * n, 2);
    std::vector<float> f32(x.size());
    RmsNorm({kernels, pool, Precision::kF32}, x.data(), 3, weight, kEps, f32.data());
    std::vector<float> rounded = x;  // in place
    RmsNorm({kernels, pool, Precision::kReference}, rounded.data(), 3, weight, kEps,
            rounded.data());
    const auto weights = ToDouble(w);
    for (size_t t = 0; t < 3; ++t) {
      const auto begin = x.begin() + static_cast<ptrdiff_t>(t * n);
      const auto expected =
          reference::RmsNorm(ToDouble({begin, begin + static_cast<ptrdiff_t>(n)}), kEps, &weights);
      for (size_t i = 0; i < n; ++i) {
        EXPECT_NEAR(f32[t * n + i], expected[i], 1e-6 * std::max(1.0, std::fabs(expected[i])));
        EXPECT_EQ(rounded[t * n + i], RoundBf16(f32[t * n + i]));
      }
    }
  }
}

TEST(RmsNorm, ZerosStayZero) {
  ThreadPool pool(1);
  const std::vector<float> w(8, 2.0F);
  const VectorView weight{DType::kF32, 8, reinterpret_cast<const std::byte*>(w.data())};
  std::vector<float> x(8, 0.0F);
  RmsNorm({kScalarKernels, pool, Precision::kReference}, x.data(), 1, weight, kEps, x.data());
  EXPECT_EQ(x, std::vector<float>(8, 0.0F));
}

// Section 4.4: every step of the query head norm is a bf16 operation.
TEST(HeadNorm, RoundsEveryStep) {
  ThreadPool pool(1);
  for (const size_t n : {64U, 128U, 512U}) {
    for (uint32_t seed = 0; seed < 20; ++seed) {
      const auto x = RandomBf16(n, seed);
      double mean = 0;
      for (const float value : x) {
        mean += reference::RoundBf16(static_cast<double>(value) * value);
      }
      mean = reference::RoundBf16(mean / static_cast<double>(n));
      const double shifted = reference::RoundBf16(mean + kEps);
      const double scale = reference::RoundBf16(1 / std::sqrt(shifted));
      auto rounded = x;
      HeadNorm({kScalarKernels, pool, Precision::kReference}, rounded.data(),
               static_cast<int64_t>(n), kEps);
      auto f32 = x;
      HeadNorm({kScalarKernels, pool, Precision::kF32}, f32.data(), static_cast<int64_t>(n), kEps);
      const auto exact = reference::RmsNorm(ToDouble(x), kEps);
      for (size_t i = 0; i < n; ++i) {
        EXPECT_EQ(rounded[i], reference::RoundBf16(x[i] * scale)) << n << " " << seed << " " << i;
        EXPECT_NEAR(f32[i], exact[i], 1e-6 * std::max(1.0, std::fabs(exact[i])));
      }
    }
  }
}

}  // namespace
}  // namespace dsv
