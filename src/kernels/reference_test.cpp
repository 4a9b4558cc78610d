// The oracle itself: small cases by hand, and that the analytic operators take a complex step,
// which gives gradients without cancellation.
#include "kernels/reference/reference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <functional>
#include <vector>

#include "support/random_values.h"

namespace dsv::reference {
namespace {

using Complex = std::complex<double>;

template <class T>
Vector<T> As(const Vector<double>& x) {
  return {x.begin(), x.end()};
}

template <class T>
T SumOf(const Matrix<T>& m) {
  T sum = 0;
  double weight = 1;
  for (const Vector<T>& row : m) {
    for (const T& value : row) sum += value * (weight += 0.5);
  }
  return sum;
}

// A scalar of many operators in a row; x has 24 elements.
template <class T>
T Chain(const Vector<T>& x) {
  const Vector<T> normed = RmsNorm(Vector<T>(x.begin(), x.begin() + 8), 1e-6);
  const Vector<T> rotated = Hadamard(Rope(normed, {0.3, 1.7}));
  const Matrix<T> rows{rotated, {x.begin() + 8, x.begin() + 16}, {x.begin() + 16, x.end()}};
  const Matrix<T> out = SparseAttention<T>({rotated, rows[1]}, rows, {x[3], x[9]});
  const Matrix<T> mix = Sinkhorn<T>({{x[0], x[1]}, {x[2], x[3]}}, 20, 1e-6);
  return SumOf(out) + SumOf(mix) + SwiGlu<T>(x[4], x[5], 10, x[6]) + SumOf<T>({MatVec(rows, x)});
}

TEST(Reference, ComplexStepEqualsFiniteDifferences) {
  const Vector<double> x = testing::ToDouble(testing::RandomFloats(24, 9));
  for (size_t i = 0; i < x.size(); ++i) {
    constexpr double kTiny = 1e-30;
    Vector<Complex> stepped = As<Complex>(x);
    stepped[i] += Complex(0, kTiny);
    const double derivative = Chain(stepped).imag() / kTiny;
    constexpr double kStep = 1e-5;
    Vector<double> up = x;
    Vector<double> down = x;
    up[i] += kStep;
    down[i] -= kStep;
    EXPECT_NEAR(derivative, (Chain(up) - Chain(down)) / (2 * kStep), 1e-6) << i;
  }
}

TEST(Reference, SinkHasNoValue) {
  // Two rows with equal logits and a sink of the same size: each gets a third.
  const Matrix<double> out = SparseAttention<double>({{0, 0}}, {{3, 0}, {0, 6}}, {0});
  EXPECT_NEAR(out[0][0], 1, 1e-15);
  EXPECT_NEAR(out[0][1], 2, 1e-15);
}

TEST(Reference, ClampsOfSwiGlu) {
  EXPECT_DOUBLE_EQ(SwiGlu(50.0, 20.0, 10, 2.0), SwiGlu(10.0, 10.0, 10, 2.0));
  EXPECT_DOUBLE_EQ(SwiGlu(1.0, -20.0, 10, 1.0), SwiGlu(1.0, -10.0, 10, 1.0));
  EXPECT_NE(SwiGlu(-50.0, 1.0, 10, 1.0), SwiGlu(-10.0, 1.0, 10, 1.0));  // no lower clamp
}

TEST(Reference, RoundsToNearestEven) {
  EXPECT_EQ(RoundBf16(1 + 0x1p-8), 1.0);
  EXPECT_EQ(RoundBf16(1 + 0x1.8p-7), 1 + 0x1p-6);
  EXPECT_EQ(RoundBf16(-0x1.01p0), -1.0);
  EXPECT_EQ(RoundE4m3(0x1p-10), 0.0);
  EXPECT_EQ(RoundE4m3(0x1.8p-9), 0x1p-8);
  EXPECT_EQ(RoundE4m3(1000), 448.0);
  EXPECT_EQ(RoundE2m1(2.5), 2.0);
}

}  // namespace
}  // namespace dsv::reference
