#include "kernels/hadamard.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/reference/reference.h"
#include "support/random_values.h"
#include "tensor/number_formats.h"

namespace dsv {
namespace {

std::vector<float> Rotate(std::vector<float> x, Precision precision) {
  ThreadPool pool(1);
  const OpContext context{kScalarKernels, pool, precision};
  Hadamard(context, x.data(), static_cast<int64_t>(x.size()));
  return x;
}

TEST(Hadamard, VectorsOfTheSpecification) {
  std::vector<float> unit(128, 0.0F);
  unit[0] = 1.0F;
  EXPECT_EQ(Rotate(unit, Precision::kReference), std::vector<float>(128, 0.08837890625F));
  unit[0] = 0.0F;
  unit[1] = 1.0F;
  const auto alternating = Rotate(unit, Precision::kReference);
  for (size_t i = 0; i < 128; ++i) {
    EXPECT_EQ(alternating[i], i % 2 == 0 ? 0.08837890625F : -0.08837890625F);
  }
  std::vector<float> expected(128, 0.0F);
  expected[0] = 11.3125F;
  EXPECT_EQ(Rotate(std::vector<float>(128, 1.0F), Precision::kReference), expected);
  EXPECT_NEAR(Rotate(std::vector<float>(128, 1.0F), Precision::kF32)[0], 11.3137085F, 1e-6F);
}

TEST(Hadamard, EqualsTheDefinition) {
  for (const size_t n : {1U, 2U, 8U, 128U, 256U}) {
    const auto x = testing::RandomFloats(n, 3);
    const auto expected = reference::Hadamard(testing::ToDouble(x));
    const auto f32 = Rotate(x, Precision::kF32);
    const auto rounded = Rotate(x, Precision::kReference);
    for (size_t i = 0; i < n; ++i) {
      EXPECT_NEAR(f32[i], expected[i], 2e-6);
      EXPECT_EQ(rounded[i], RoundBf16(f32[i]));
    }
    const auto back = Rotate(f32, Precision::kF32);
    for (size_t i = 0; i < n; ++i) EXPECT_NEAR(back[i], x[i], 2e-6);
  }
}

}  // namespace
}  // namespace dsv
