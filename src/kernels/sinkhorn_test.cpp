#include "kernels/sinkhorn.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/reference/reference.h"
#include "support/random_values.h"

namespace dsv {
namespace {

using Matrix = reference::Matrix<double>;

// Appendix A.4: 20 iterations, eps 1e-6.
std::vector<float> Project(std::vector<float> a) {
  Sinkhorn(a.data(), 4, 20, 1e-6);
  return a;
}

void ExpectNear(const std::vector<float>& got, const std::vector<double>& expected, double limit) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], limit) << i;
}

TEST(Sinkhorn, VectorsOfTheSpecification) {
  ExpectNear(Project(std::vector<float>(16, 0.0F)), std::vector<double>(16, 0.24999975), 1e-7);
  ExpectNear(
      Project({0.5F, -1, 2, 0, 1.5F, 0.25F, -0.5F, -2, 0, 3, 1, -1, -0.75F, 0.5F, 0, 1.25F}),
      {0.1529300, 0.0207981, 0.6474036, 0.1788674, 0.7349195, 0.1283322, 0.0939502, 0.0427970,
       0.0605378, 0.7410758, 0.1554382, 0.0429472, 0.0516117, 0.1097930, 0.1032070, 0.7353875},
      1.5e-7);
}

TEST(Sinkhorn, StopsAfterTheGivenIterations) {
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

TEST(Sinkhorn, EqualsTheReference) {
  for (const int64_t n : {1, 2, 4, 7}) {
    for (const int64_t iterations : {1, 2, 20}) {
      auto a = testing::RandomFloats(static_cast<size_t>(n * n), 5);
      for (float& value : a) value *= 4;
      Matrix rows;
      for (int64_t j = 0; j < n; ++j) {
        rows.push_back(testing::ToDouble({a.begin() + j * n, a.begin() + (j + 1) * n}));
      }
      const Matrix expected = reference::Sinkhorn(rows, iterations, 1e-6);
      Sinkhorn(a.data(), n, iterations, 1e-6);
      for (int64_t i = 0; i < n * n; ++i) {
        EXPECT_NEAR(a[static_cast<size_t>(i)],
                    expected[static_cast<size_t>(i / n)][static_cast<size_t>(i % n)], 1e-6);
      }
    }
  }
}

}  // namespace
}  // namespace dsv
