// The inner loops of every instruction set of this machine against sums in double, for all lengths
// around the number of lanes, unaligned pointers and every tile shape; and the law that a result
// has the same bits alone and in a tile.
#include "kernels/kernels.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "kernels/reference/reference.h"
#include "support/random_values.h"
#include "tensor/number_formats.h"

namespace dsv {
namespace {

using testing::RandomBytes;
using testing::RandomFloats;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr int64_t kMaxLanes = 16;

std::vector<int64_t> Lengths() {
  std::vector<int64_t> lengths{127, 128, 129, 200, 256, 257, 1000};
  for (int64_t n = 0; n <= 2 * kMaxLanes + 1; ++n) lengths.push_back(n);
  return lengths;
}

// Rows with a stride above their length, so that a lane too many reads a NaN, behind an offset
// that takes away the alignment.
struct PaddedRows {
  PaddedRows(int64_t row_count, int64_t width, int64_t offset_, uint32_t seed)
      : stride(width + 3), offset(offset_) {
    values.assign(static_cast<size_t>(offset + row_count * stride), kNan);
    const auto random = RandomFloats(static_cast<size_t>(row_count * width), seed);
    for (int64_t r = 0; r < row_count; ++r) {
      for (int64_t i = 0; i < width; ++i) {
        values[static_cast<size_t>(offset + r * stride + i)] =
            random[static_cast<size_t>(r * width + i)];
      }
    }
  }
  const float* Row(int64_t r) const { return values.data() + offset + r * stride; }

  int64_t stride;
  int64_t offset;
  std::vector<float> values;
};

struct Sum {
  double value = 0;
  double magnitude = 0;  // of the terms; what the error of a float sum is proportional to
};

// Rounding of the products and of the sums over at least four lanes.
double Tolerance(const Sum& sum, int64_t n) {
  return sum.magnitude * (static_cast<double>(n) / 4 + 8) * 0x1p-24;
}

class CpuKernels : public ::testing::TestWithParam<const Kernels*> {
 protected:
  const Kernels& kernels_ = *GetParam();
};

std::vector<const Kernels*> Available() {
  std::vector<const Kernels*> available;
  for (const char* name : {"scalar", "avx2", "avx512", "avx512bf16", "amx"}) {
    if (const auto kernels = SelectKernels(name)) available.push_back(*kernels);
  }
  return available;
}

void CheckDot(const Kernels& kernels, int64_t k, int64_t outs, int64_t rows) {
  const PaddedRows w(outs, k, k % 4, 1);
  const PaddedRows x(rows, k, (k + 1) % 3, 2);
  const int64_t y_stride = outs + 2;
  std::vector<float> y(static_cast<size_t>(rows * y_stride), kNan);
  const auto run = [&](int64_t i, int64_t n_outs, int64_t t, int64_t n_rows, float* out) {
    kernels.linear.dot(w.Row(i), w.stride, n_outs, x.Row(t), x.stride, n_rows, k, out, y_stride);
  };
  run(0, outs, 0, rows, y.data());
  for (int64_t t = 0; t < rows; ++t) {
    for (int64_t i = 0; i < outs; ++i) {
      const float got = y[static_cast<size_t>(t * y_stride + i)];
      Sum sum;
      for (int64_t j = 0; j < k; ++j) {
        const double term = static_cast<double>(w.Row(i)[j]) * x.Row(t)[j];
        sum.value += term;
        sum.magnitude += std::fabs(term);
      }
      ASSERT_TRUE(std::fabs(got - sum.value) <= Tolerance(sum, k))
          << kernels.name << " k " << k << " out " << i << " row " << t << ": expected "
          << sum.value << ", found " << got;
      float alone = kNan;
      run(i, 1, t, 1, &alone);
      ASSERT_EQ(std::bit_cast<uint32_t>(got), std::bit_cast<uint32_t>(alone))
          << kernels.name << " k " << k << " out " << i << " row " << t << " of " << outs << " x "
          << rows;
    }
    for (int64_t i = outs; i < y_stride; ++i) {
      ASSERT_TRUE(std::isnan(y[static_cast<size_t>(t * y_stride + i)])) << "written past the row";
    }
  }
}

TEST_P(CpuKernels, DotOfEveryLength) {
  for (const int64_t k : Lengths()) {
    CheckDot(kernels_, k, 1, 1);
    CheckDot(kernels_, k, 5, 3);
  }
}

TEST_P(CpuKernels, DotOfEveryTile) {
  for (int64_t rows = 1; rows <= 17; ++rows) {
    for (const int64_t outs : {1, 2, 3, 4, 5, 8, 16}) CheckDot(kernels_, 37, outs, rows);
  }
}

TEST_P(CpuKernels, SumOfSquares) {
  for (const int64_t n : Lengths()) {
    const PaddedRows x(1, n, n % 4, 4);
    Sum sum;
    for (int64_t i = 0; i < n; ++i) sum.value += static_cast<double>(x.Row(0)[i]) * x.Row(0)[i];
    sum.magnitude = sum.value;
    EXPECT_NEAR(kernels_.rows.sum_of_squares(x.Row(0), n), sum.value, Tolerance(sum, n)) << n;
  }
}

// Bits of the expected value; every NaN is equal.
void ExpectValue(float got, double expected, const std::string& what) {
  if (std::isnan(expected)) {
    ASSERT_TRUE(std::isnan(got)) << what;
    return;
  }
  ASSERT_EQ(std::bit_cast<uint32_t>(got), std::bit_cast<uint32_t>(static_cast<float>(expected)))
      << what << ": expected " << expected << ", found " << got;
}

TEST_P(CpuKernels, ExpandBf16IsExact) {
  std::vector<uint8_t> bytes(1);  // takes away the alignment
  for (uint32_t i = 0; i < 65536; ++i) {
    bytes.push_back(static_cast<uint8_t>(i & 255U));
    bytes.push_back(static_cast<uint8_t>(i >> 8U));
  }
  std::vector<float> values(65536);
  kernels_.expand.bf16(bytes.data() + 1, 65536, values.data());
  for (uint32_t i = 0; i < 65536; ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(values[i]), i << 16U);
  }
  for (int64_t n = 0; n <= 2 * kMaxLanes + 1; ++n) {
    const std::vector<uint8_t> exact(bytes.begin() + 2001, bytes.begin() + 2001 + 2 * n);
    std::vector<float> row(static_cast<size_t>(n) + 1, kNan);
    kernels_.expand.bf16(exact.data(), n, row.data());
    for (int64_t i = 0; i < n; ++i)
      ASSERT_EQ(row[static_cast<size_t>(i)], values[1000 + static_cast<size_t>(i)]);
    ASSERT_TRUE(std::isnan(row.back()));
  }
}

TEST_P(CpuKernels, ExpandE4m3IsExact) {
  std::vector<uint8_t> bytes(1 + 256);
  for (size_t i = 0; i < 256; ++i) bytes[1 + i] = static_cast<uint8_t>(i);
  std::vector<float> values(256);
  for (const int exponent : {-127, -126, -22, -8, 0, 5, 100, 127}) {
    const float scale = std::ldexp(1.0F, exponent);
    kernels_.expand.e4m3(bytes.data() + 1, 256, scale, values.data());
    for (size_t i = 0; i < 256; ++i) {
      const double value = reference::E4m3Value(static_cast<uint8_t>(i));
      ExpectValue(values[i], value * static_cast<double>(scale), "E4M3 code " + std::to_string(i));
    }
  }
  for (int64_t n = 0; n <= 2 * kMaxLanes + 1; ++n) {
    const std::vector<uint8_t> exact(bytes.begin() + 101, bytes.begin() + 101 + n);
    std::vector<float> row(static_cast<size_t>(n) + 1, kNan);
    kernels_.expand.e4m3(exact.data(), n, 1.0F, row.data());
    for (int64_t i = 0; i < n; ++i) {
      ExpectValue(row[static_cast<size_t>(i)], reference::E4m3Value(exact[static_cast<size_t>(i)]),
                  "tail");
    }
    ASSERT_TRUE(std::isnan(row.back()));
  }
}

TEST_P(CpuKernels, ExpandE2m1IsExact) {
  // One block of 32 elements for every scale byte; all nibble pairs occur.
  std::vector<uint8_t> scales(256);
  std::vector<uint8_t> bytes(1 + 256 * 16);
  for (size_t i = 0; i < 256; ++i) scales[i] = static_cast<uint8_t>(i);
  for (size_t i = 0; i < 256 * 16; ++i) bytes[1 + i] = static_cast<uint8_t>(i + i / 256);
  for (const int64_t n : {int64_t{0}, int64_t{32}, int64_t{96}, int64_t{256 * 32}}) {
    std::vector<float> values(static_cast<size_t>(n) + 1, kNan);
    kernels_.expand.e2m1(bytes.data() + 1, scales.data(), n, values.data());
    for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
      const uint8_t byte = bytes[1 + i / 2];
      const auto code = static_cast<uint8_t>(i % 2 == 0 ? byte & 15U : byte >> 4U);
      ExpectValue(values[i], reference::E2m1Value(code) * reference::E8m0Value(scales[i / 32]),
                  "E2M1 element " + std::to_string(i));
    }
    ASSERT_TRUE(std::isnan(values.back()));
  }
}

INSTANTIATE_TEST_SUITE_P(All, CpuKernels, ::testing::ValuesIn(Available()),
                         [](const auto& kernels) { return std::string(kernels.param->name); });

TEST(SelectKernels, TakesTheBestOrTheForcedSet) {
  const std::vector<const Kernels*> available = Available();
  ASSERT_FALSE(available.empty());
  EXPECT_STREQ(available.front()->name, "scalar");
  EXPECT_EQ(*SelectKernels(""), available.back());
  EXPECT_STREQ((*SelectKernels("scalar"))->name, "scalar");
}

TEST(SelectKernels, RefusesUnknownSets) {
  for (const char* name : {"sse2", "AVX2", "avx512 ", "none"}) {
    const auto kernels = SelectKernels(name);
    ASSERT_FALSE(kernels) << name;
    EXPECT_NE(kernels.error().message.find(name), std::string::npos);
    EXPECT_NE(kernels.error().message.find("expected scalar, avx2, avx512, avx512bf16 or amx"), std::string::npos);
  }
}

}  // namespace
}  // namespace dsv
