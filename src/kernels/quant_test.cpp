// The rounding points against the plain functions of reference/, exhaustively where that is
// possible, and the vectors of the specification (appendix A.2, A.3).
#include "kernels/quant.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

#include "kernels/reference/reference.h"
#include "support/available_kernels.h"
#include "support/random_values.h"
#include "tensor/number_formats.h"

namespace dsv {
namespace {

using testing::RandomFloats;
using testing::ToDouble;

// The functions that have a kernel, on every instruction set of this machine.
class Quantisers : public ::testing::TestWithParam<const Kernels*> {
 protected:
  const Kernels& kernels_ = *GetParam();
};
INSTANTIATE_TEST_SUITE_P(InstructionSets, Quantisers,
                         ::testing::ValuesIn(testing::AvailableKernels()), testing::NameOfKernels);

// Calls visit(value) for every positive finite bf16 value.
template <class Visitor>
void ForEachPositiveBf16(const Visitor& visit) {
  for (uint32_t bits = 1; bits < 0x7F80; ++bits) visit(Bf16ToFloat(static_cast<uint16_t>(bits)));
}

TEST(NumberFormats, DecodesTheVectorsOfTheSpecification) {
  EXPECT_EQ(E2m1ToFloat(0xA7 & 15), 6.0F);
  EXPECT_EQ(E2m1ToFloat(0xA7 >> 4), -1.0F);
  EXPECT_EQ(E2m1ToFloat(0x10 & 15), 0.0F);
  EXPECT_EQ(E2m1ToFloat(0x10 >> 4), 0.5F);
  EXPECT_EQ(E2m1ToFloat(0x8F & 15), -6.0F);
  EXPECT_EQ(std::bit_cast<uint32_t>(E2m1ToFloat(0x8F >> 4)), 0x80000000U);
  EXPECT_EQ(E8m0ToFloat(127), 1.0F);
  EXPECT_EQ(E8m0ToFloat(119), 0x1p-8F);
  EXPECT_EQ(std::bit_cast<uint32_t>(E8m0ToFloat(0)), 0x00400000U);
  EXPECT_EQ(E8m0ToFloat(254), 0x1p127F);
  EXPECT_TRUE(std::isnan(E8m0ToFloat(255)));
  EXPECT_EQ(E4m3ToFloat(0x38), 1.0F);
  EXPECT_EQ(E4m3ToFloat(0x7E), 448.0F);
  EXPECT_EQ(E4m3ToFloat(0x08), 0x1p-6F);
  EXPECT_EQ(E4m3ToFloat(0x01), 0x1p-9F);
  EXPECT_EQ(E4m3ToFloat(0xB8), -1.0F);
}

TEST(NumberFormats, DecodesEveryByte) {
  for (int i = 0; i < 256; ++i) {
    const auto byte = static_cast<uint8_t>(i);
    const double e4m3 = reference::E4m3Value(byte);
    EXPECT_TRUE(E4m3ToFloat(byte) == e4m3 || (std::isnan(e4m3) && std::isnan(E4m3ToFloat(byte))));
    EXPECT_EQ(std::signbit(E4m3ToFloat(byte)), i >= 128);
    if (i == 255) break;
    EXPECT_EQ(E8m0ToFloat(byte), reference::E8m0Value(byte));
  }
  for (uint8_t code = 0; code < 16; ++code) {
    EXPECT_EQ(E2m1ToFloat(code), reference::E2m1Value(code));
  }
}

TEST(NumberFormats, RoundsToBf16) {
  for (uint32_t high = 0; high < 65536; ++high) {
    for (const uint32_t low : {0x0000U, 0x0001U, 0x7FFFU, 0x8000U, 0x8001U, 0xFFFFU}) {
      const auto value = std::bit_cast<float>(high << 16 | low);
      const float rounded = RoundBf16(value);
      ASSERT_EQ(std::bit_cast<uint32_t>(rounded), uint32_t{FloatToBf16(value)} << 16);
      if (std::isnan(value)) {
        ASSERT_TRUE(std::isnan(rounded));
        continue;
      }
      const auto expected = static_cast<float>(reference::RoundBf16(value));
      ASSERT_EQ(std::bit_cast<uint32_t>(rounded), std::bit_cast<uint32_t>(expected)) << value;
    }
  }
}

TEST_P(Quantisers, ANanStaysANan) {
  for (const uint32_t bits : {0x7FC00000U, 0xFFC00000U, 0x7FFF0000U, 0xFFFF0000U, 0xFFFFFFFFU}) {
    const auto nan = std::bit_cast<float>(bits);
    EXPECT_TRUE(std::isnan(RoundE4m3(nan))) << bits;
    EXPECT_TRUE(std::isnan(RoundE2m1(nan))) << bits;
    std::vector<float> row(64, 1.0F);
    row[40] = nan;
    SimulateFp8(kernels_, row.data(), 64);
    EXPECT_TRUE(std::isnan(row[40]) && row[39] == 1.0F) << bits;
    SimulateFp4(kernels_, row.data(), 64);
    EXPECT_TRUE(std::isnan(row[40]) && row[39] == 1.0F) << bits;
  }
}

TEST(NumberFormats, RoundsToE4m3AndE2m1) {
  constexpr uint32_t kStep = 9973;
  for (uint32_t bits = 0; bits <= std::bit_cast<uint32_t>(448.0F); bits += kStep) {
    for (const uint32_t sign : {0U, 0x80000000U}) {
      const auto value = std::bit_cast<float>(bits | sign);
      ASSERT_EQ(RoundE4m3(value), reference::RoundE4m3(value)) << value;
      if (std::fabs(value) > 6) continue;
      ASSERT_EQ(RoundE2m1(value), reference::RoundE2m1(value)) << value;
    }
  }
  // Every midpoint between neighbours, and the floats beside it.
  for (int code = 0; code < 0x7E; ++code) {
    const auto mid = static_cast<float>((reference::E4m3Value(static_cast<uint8_t>(code)) +
                                         reference::E4m3Value(static_cast<uint8_t>(code + 1))) /
                                        2);
    for (const float value : {std::nextafter(mid, 0.0F), mid, std::nextafter(mid, 1e9F)}) {
      ASSERT_EQ(RoundE4m3(value), reference::RoundE4m3(value)) << value;
    }
  }
  const std::vector<std::pair<float, float>> midpoints{
      {0.25F, 0}, {0.75F, 1}, {1.25F, 1}, {1.75F, 2}, {2.5F, 2}, {3.5F, 4}, {5, 4}};
  for (const auto& [value, expected] : midpoints) {
    EXPECT_EQ(RoundE2m1(value), expected);
    EXPECT_EQ(RoundE2m1(-value), -expected);
  }
}

// The scale rule for every bf16 block maximum (spec 3.2).
TEST_P(Quantisers, ScaleOfEveryBf16Maximum) {
  ForEachPositiveBf16([this](float a) {
    float scale = 0;
    ActivationScales(&a, 1, &scale);
    const double value = a;
    ASSERT_EQ(scale, reference::Fp8Scale(&value, 1)) << a;
    // Above 2^126 rounding up may leave the range of a float.
    if (a > 0x1p126F) return;
    float fp8 = a;
    SimulateFp8(kernels_, &fp8, 1);
    ASSERT_EQ(fp8, reference::SimulateFp8({value}, 64).front()) << a;
    float fp4 = -a;
    SimulateFp4(kernels_, &fp4, 1);
    ASSERT_EQ(fp4, reference::SimulateFp4({-value}, 32).front()) << a;
  });
  float scale = 0;
  for (int exponent = -20; exponent < 100; ++exponent) {
    const float a = std::ldexp(448.0F, exponent);
    ActivationScales(&a, 1, &scale);
    ASSERT_EQ(scale, std::ldexp(1.0F, std::max(exponent, -22)));
  }
  const float zero = 0;
  ActivationScales(&zero, 1, &scale);
  EXPECT_EQ(scale, 0x1p-22F);
}

// Every bf16 value beside a fixed maximum.
TEST_P(Quantisers, ValueOfEveryBf16Element) {
  for (const float max : {448.0F, 3.5F, 1.0F, 1e-5F}) {
    ForEachPositiveBf16([this, max](float value) {
      if (value > max) return;
      std::vector<float> block{max, value, -value};
      std::vector<float> quantized(3);
      QuantizeActivation(kernels_, block.data(), 3, quantized.data());
      ASSERT_EQ(ToDouble(quantized), reference::SimulateFp8(ToDouble(block), 128)) << value;
      std::vector<float> fp4 = block;
      SimulateFp4(kernels_, fp4.data(), 3);
      ASSERT_EQ(ToDouble(fp4), reference::SimulateFp4(ToDouble(block), 32)) << value;
    });
  }
}

// Lengths that are no multiple of the block, and blocks of very different size.
TEST_P(Quantisers, BlocksOfRandomRows) {
  for (const size_t n : {1U, 31U, 32U, 33U, 63U, 64U, 65U, 127U, 128U, 129U, 300U, 448U}) {
    std::vector<float> x = RandomFloats(n, static_cast<uint32_t>(n));
    for (size_t i = 0; i < n; ++i) {
      x[i] = RoundBf16(std::ldexp(x[i], static_cast<int>(i / 32 * 5) - 20));
    }
    const auto count = static_cast<int64_t>(n);
    std::vector<float> quantized(n);
    QuantizeActivation(kernels_, x.data(), count, quantized.data());
    EXPECT_EQ(ToDouble(quantized), reference::SimulateFp8(ToDouble(x), 128));
    std::vector<float> fp8 = x;
    SimulateFp8(kernels_, fp8.data(), count);
    EXPECT_EQ(ToDouble(fp8), reference::SimulateFp8(ToDouble(x), 64));
    std::vector<float> again = fp8;
    SimulateFp8(kernels_, again.data(), count);
    EXPECT_EQ(again, fp8);  // representable values stay
    std::vector<float> fp4 = x;
    SimulateFp4(kernels_, fp4.data(), count);
    EXPECT_EQ(ToDouble(fp4), reference::SimulateFp4(ToDouble(x), 32));
    for (const float value : fp8) EXPECT_EQ(value, RoundBf16(value));
  }
}

std::vector<float> Fp8(const Kernels& kernels, std::vector<float> x) {
  SimulateFp8(kernels, x.data(), static_cast<int64_t>(x.size()));
  return x;
}
std::vector<float> Fp4(const Kernels& kernels, std::vector<float> x) {
  SimulateFp4(kernels, x.data(), static_cast<int64_t>(x.size()));
  return x;
}

TEST_P(Quantisers, VectorsOfTheSpecification) {
  EXPECT_EQ(Fp8(kernels_, {1.0F, 0.3F, 0.001F, -0.0625F, 0.0147F}),
            (std::vector<float>{1.0F, 0.3125F, 0.0009765625F, -0.0625F, 0.0146484375F}));
  EXPECT_EQ(Fp8(kernels_, {3.5F, 0.3F, 0.01F}), (std::vector<float>{3.5F, 0.3125F, 0.009765625F}));
  EXPECT_EQ(Fp8(kernels_, {0.00005F}), (std::vector<float>{208 * 0x1p-22F}));
  EXPECT_EQ(Fp4(kernels_, {1.0F, 0.3F, 0.9F, 0.0625F, -0.4375F}),
            (std::vector<float>{1.0F, 0.25F, 1.0F, 0.0F, -0.5F}));
  EXPECT_EQ(Fp4(kernels_, {6, 0.25F, 0.75F, 1.25F, 1.75F, 2.5F, 3.5F, 5}),
            (std::vector<float>{6, 0, 1, 1, 2, 2, 4, 4}));
  EXPECT_EQ(Fp4(kernels_, std::vector<float>(32, 0.0F)), std::vector<float>(32, 0.0F));
  float scale = 0;
  const float tiny = 1e-4F;
  ActivationScales(&tiny, 1, &scale);
  EXPECT_EQ(scale, 0x1p-22F);
}

}  // namespace
}  // namespace dsv
