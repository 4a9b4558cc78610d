#include <gtest/gtest.h>

#include <vector>

#include "kernels/reference/reference.h"
#include "support/available_kernels.h"
#include "support/random_values.h"

namespace dsv {
namespace {

using Matrix = reference::Matrix<double>;

// Appendix A.4: 20 iterations, eps 1e-6.
class Sinkhorn : public ::testing::TestWithParam<const Kernels*> {
 protected:
  std::vector<float> Project(std::vector<float> a) const {
    GetParam()->streams.sinkhorn(a.data(), 20, 1e-6F);
    return a;
  }
};

void ExpectNear(const std::vector<float>& got, const std::vector<double>& expected, double limit) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], limit) << i;
}

TEST_P(Sinkhorn, VectorsOfTheSpecification) {
  ExpectNear(Project(std::vector<float>(16, 0.0F)), std::vector<double>(16, 0.24999975), 1e-7);
  ExpectNear(
      Project({0.5F, -1, 2, 0, 1.5F, 0.25F, -0.5F, -2, 0, 3, 1, -1, -0.75F, 0.5F, 0, 1.25F}),
      {0.1529300, 0.0207981, 0.6474036, 0.1788674, 0.7349195, 0.1283322, 0.0939502, 0.0427970,
       0.0605378, 0.7410758, 0.1554382, 0.0429472, 0.0516117, 0.1097930, 0.1032070, 0.7353875},
      1.5e-7);
}

TEST_P(Sinkhorn, StopsAfterTheGivenIterations) {
  const auto c = Project({30, 0, 0, 0, 0, 30, 0, 0, 30, 0, 0, 0, 0, 0, 0, 30});
  const std::vector<double> twin{0.4999995, 1.8396e-5, 0.4742223, 1.8396e-5};
  const std::vector<double> second{2.7178e-8, 0.9999612, 0.0257772, 1.0000e-6};
  const std::vector<double> last{2.7178e-8, 1.0000e-6, 0.0257772, 0.9999612};
  ExpectNear({c.begin(), c.begin() + 4}, twin, 2e-7);
  ExpectNear({c.begin() + 4, c.begin() + 8}, second, 2e-7);
  ExpectNear({c.begin() + 8, c.begin() + 12}, twin, 2e-7);
  ExpectNear({c.begin() + 12, c.end()}, last, 2e-7);
  for (size_t k = 0; k < 4; ++k) EXPECT_NEAR(c[k] + c[4 + k] + c[8 + k] + c[12 + k], 1, 2e-6);
}

TEST_P(Sinkhorn, EqualsTheReference) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    for (const int64_t iterations : {1, 2, 20}) {
      auto a = testing::RandomFloats(16, seed);
      for (float& value : a) value *= 4;
      Matrix rows;
      for (ptrdiff_t j = 0; j < 4; ++j) {
        rows.push_back(testing::ToDouble({a.begin() + j * 4, a.begin() + (j + 1) * 4}));
      }
      const Matrix expected = reference::Sinkhorn(rows, iterations, 1e-6);
      GetParam()->streams.sinkhorn(a.data(), iterations, 1e-6F);
      for (size_t i = 0; i < 16; ++i) EXPECT_NEAR(a[i], expected[i / 4][i % 4], 1e-6);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, Sinkhorn,
                         ::testing::ValuesIn(testing::AvailableKernels()), testing::NameOfKernels);

}  // namespace
}  // namespace dsv
