#include "kernels/rope.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
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

// Appendix A.1: bits of the frequencies of compressed layers (theta 160000 with YaRN) ...
constexpr std::array<uint32_t, 32> kCompressedBits{
    0x3f800000, 0x3f300a3a, 0x3ef21c1f, 0x3ea67d01, 0x3e64f92e, 0x3e1d7475, 0x3dd88cb4, 0x3d94e963,
    0x3d4ccccd, 0x3d0cd4fb, 0x3cc1b019, 0x3c8530ce, 0x3c372dbf, 0x3bfbed88, 0x3bad3d5e, 0x3b6e4237,
    0x3b147ae1, 0x3ab714e0, 0x3a5ebdb6, 0x3a0530ce, 0x399bb3af, 0x39305978, 0x38be904d, 0x383e9b5f,
    0x37a3d70c, 0x36b443d0, 0x3677eba6, 0x362a7be8, 0x35ea77ff, 0x35a13bdc, 0x355dbf30, 0x35187c4d};
// ... and the frequencies of the others (theta 10000).
constexpr std::array<float, 32> kPlain{1.0F,
                                       0.749894202F,
                                       0.562341332F,
                                       0.421696514F,
                                       0.316227764F,
                                       0.237137362F,
                                       0.177827939F,
                                       0.133352146F,
                                       0.100000001F,
                                       0.0749894157F,
                                       0.0562341288F,
                                       0.0421696492F,
                                       0.0316227786F,
                                       0.0237137359F,
                                       0.0177827943F,
                                       0.0133352149F,
                                       0.00999999978F,
                                       0.00749894232F,
                                       0.00562341325F,
                                       0.00421696482F,
                                       0.00316227786F,
                                       0.00237137382F,
                                       0.00177827943F,
                                       0.00133352145F,
                                       0.00100000005F,
                                       0.000749894185F,
                                       0.000562341302F,
                                       0.000421696488F,
                                       0.000316227786F,
                                       0.000237137385F,
                                       0.00017782794F,
                                       0.00013335215F};

const RopeScaling kYarn{16, 32, 1, 65536};

// Steps between two positive floats.
int64_t Ulps(float a, float b) {
  return std::abs(static_cast<int64_t>(std::bit_cast<uint32_t>(a)) -
                  static_cast<int64_t>(std::bit_cast<uint32_t>(b)));
}

struct Context {
  ThreadPool pool{1};
  OpContext f32{kScalarKernels, pool, Precision::kF32};
  OpContext reference{kScalarKernels, pool, Precision::kReference};
};

TEST(RopeFrequencies, VectorsOfTheSpecification) {
  const auto compressed = RopeFrequencies(64, 160000, kYarn);
  const auto plain = RopeFrequencies(64, 10000, RopeScaling{});
  ASSERT_EQ(compressed.size(), 32u);
  for (size_t i = 0; i < 32; ++i) {
    // pow may differ by one ulp between libraries.
    EXPECT_LE(Ulps(compressed[i], std::bit_cast<float>(kCompressedBits[i])), 1) << i;
    EXPECT_LE(Ulps(plain[i], kPlain[i]), 1) << i;
  }
}

TEST(RopeFrequencies, YarnLeavesFastPairsAndDividesSlowOnes) {
  const auto with = RopeFrequencies(64, 160000, kYarn);
  const auto without = RopeFrequencies(64, 160000, RopeScaling{});
  for (size_t i = 0; i <= 15; ++i) EXPECT_EQ(with[i], without[i]);
  for (size_t i = 25; i < 32; ++i) EXPECT_EQ(with[i], without[i] / 16);
  for (size_t i = 16; i < 25; ++i) EXPECT_TRUE(with[i] < without[i] && with[i] > without[i] / 16);
}

TEST(RopeAngles, RotatesInterleavedPairsOfTheLastComponents) {
  Context context;
  const auto frequencies = RopeFrequencies(8, 10000, RopeScaling{});
  RopeAngles angles(4);
  angles.Set(frequencies, 7);
  const auto x = RandomFloats(13, 1);
  std::vector<double> phi;
  for (const float f : frequencies) phi.push_back(static_cast<double>(7.0F * f));
  for (const bool inverse : {false, true}) {
    auto rotated = x;
    inverse ? angles.RotateBack(context.f32, rotated.data(), 13)
            : angles.Rotate(context.f32, rotated.data(), 13);
    const auto expected = reference::Rope(ToDouble(x), phi, inverse);
    for (size_t i = 0; i < 13; ++i) EXPECT_NEAR(rotated[i], expected[i], 2e-7) << i;
    for (size_t i = 0; i < 5; ++i) EXPECT_EQ(rotated[i], x[i]) << i;
    auto rounded = x;
    inverse ? angles.RotateBack(context.reference, rounded.data(), 13)
            : angles.Rotate(context.reference, rounded.data(), 13);
    for (size_t i = 5; i < 13; ++i) EXPECT_EQ(rounded[i], RoundBf16(rotated[i])) << i;
    for (size_t i = 0; i < 5; ++i) EXPECT_EQ(rounded[i], x[i]) << i;
  }
}

// The angle is rounded to float before cos and sin: near a million its steps are 0.06.
TEST(RopeAngles, AngleIsAFloat) {
  Context context;
  const auto frequencies = RopeFrequencies(64, 160000, kYarn);
  bool differs = false;
  for (const int64_t position : {100000, 1000003, 1048575}) {
    RopeAngles angles(32);
    angles.Set(frequencies, position);
    std::vector<float> x(64, 0.0F);
    for (size_t i = 0; i < 64; i += 2) x[i] = 1.0F;
    angles.Rotate(context.f32, x.data(), 64);
    for (size_t i = 0; i < 32; ++i) {
      const float angle = static_cast<float>(position) * frequencies[i];
      EXPECT_NEAR(x[2 * i], std::cos(static_cast<double>(angle)), 1e-7);
      EXPECT_NEAR(x[2 * i + 1], std::sin(static_cast<double>(angle)), 1e-7);
      const double exact = static_cast<double>(position) * static_cast<double>(frequencies[i]);
      differs = differs || std::fabs(x[2 * i] - std::cos(exact)) > 1e-3;
    }
  }
  EXPECT_TRUE(differs);  // an angle in double would be seen
}

}  // namespace
}  // namespace dsv
