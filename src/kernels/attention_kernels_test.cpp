// The inner loops of attention of every instruction set of this machine, for lengths around the
// number of lanes and unaligned pointers, against sums in double.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "support/random_values.h"
#include "tensor/number_formats.h"

namespace dsv {
namespace {

using testing::RandomBytes;
using testing::RandomFloats;

using Floats = std::vector<float>;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr uint16_t kGuard = 0x7FC1;

class AttentionKernelsOf : public ::testing::TestWithParam<const Kernels*> {
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

// [rows, width] behind an offset that takes away the alignment, NaN between rows.
struct Padded {
  Padded(int64_t rows, int64_t width, uint32_t seed)
      : stride(width + 3), values(static_cast<size_t>(1 + rows * stride), kNan) {
    const Floats random = RandomFloats(static_cast<size_t>(rows * width), seed);
    for (int64_t r = 0; r < rows; ++r) {
      std::copy_n(random.begin() + r * width, width, Row(r));
    }
  }
  float* Row(int64_t r) { return values.data() + 1 + r * stride; }

  int64_t stride;
  Floats values;
};

void CheckSoftmax(const Kernels& kernels, int64_t rows, int64_t heads, bool round) {
  Padded logits(rows, heads, 1);
  for (float& value : logits.values) value *= 40;
  const Padded before = logits;
  constexpr float kScale = 0.3F;
  Floats max(static_cast<size_t>(heads) + 1, -std::numeric_limits<float>::infinity());
  kernels.attention.max_rows(logits.Row(0), logits.stride, rows, heads, max.data());
  ASSERT_TRUE(std::isinf(max.back()));
  Floats sum(static_cast<size_t>(heads) + 1, kNan);
  kernels.attention.softmax_rows(logits.Row(0), logits.stride, rows, heads, kScale, max.data(),
                                 round, sum.data());
  ASSERT_TRUE(std::isnan(sum.back()));
  for (int64_t h = 0; h < heads; ++h) {
    const auto at = static_cast<size_t>(h);
    float largest = -std::numeric_limits<float>::infinity();
    double total = 0;
    for (int64_t r = 0; r < rows; ++r) {
      const float logit = before.values[static_cast<size_t>(1 + r * before.stride + h)];
      largest = std::max(largest, logit);
      const double p = std::exp(static_cast<double>(kScale * logit - kScale * max[at]));
      total += p;
      const float got = logits.Row(r)[h];
      ASSERT_NEAR(got, p, p * (round ? 0x1p-8 : 0x1p-22)) << kernels.name << " " << r << " " << h;
      ASSERT_TRUE(!round || got == RoundBf16(got));
    }
    ASSERT_EQ(max[at], largest);
    ASSERT_NEAR(sum[at], total, total * 0x1p-20) << kernels.name << " " << rows << " " << h;
  }
  // Only what belongs to the heads is written.
  for (size_t i = 0; i < logits.values.size(); ++i) {
    ASSERT_EQ(std::isnan(logits.values[i]), std::isnan(before.values[i]));
  }
}

// Rows without gaps give the bits of rows with gaps.
void CheckDenseSoftmax(const Kernels& kernels, int64_t rows, int64_t heads, bool round) {
  Padded padded(rows, heads, 2);
  Floats dense;
  for (int64_t r = 0; r < rows; ++r) {
    dense.insert(dense.end(), padded.Row(r), padded.Row(r) + heads);
  }
  const Floats max(static_cast<size_t>(heads), 1);
  Floats padded_sum(max.size(), kNan);
  Floats dense_sum(max.size(), kNan);
  kernels.attention.softmax_rows(padded.Row(0), padded.stride, rows, heads, 0.5F, max.data(), round,
                                 padded_sum.data());
  kernels.attention.softmax_rows(dense.data(), heads, rows, heads, 0.5F, max.data(), round,
                                 dense_sum.data());
  ASSERT_EQ(padded_sum, dense_sum) << kernels.name << " " << rows << " " << heads;
  for (int64_t r = 0; r < rows; ++r) {
    ASSERT_TRUE(std::equal(padded.Row(r), padded.Row(r) + heads, dense.begin() + r * heads))
        << kernels.name << " " << rows << " " << heads;
  }
}

TEST_P(AttentionKernelsOf, DenseSoftmax) {
  for (int64_t heads = 1; heads <= 17; ++heads) {
    for (const int64_t rows : {1, 2, 3, 15, 16, 33}) {
      CheckDenseSoftmax(kernels_, rows, heads, rows % 2 == 0);
    }
  }
}

TEST_P(AttentionKernelsOf, Softmax) {
  for (int64_t heads = 1; heads <= 34; ++heads) CheckSoftmax(kernels_, 5, heads, heads % 2 == 0);
  for (int64_t rows = 1; rows <= 70; ++rows) CheckSoftmax(kernels_, rows, 17, rows % 2 == 0);
  CheckSoftmax(kernels_, 32, 64, false);
}

void CheckAddWeightedRows(const Kernels& kernels, int64_t heads, int64_t rows, int64_t width) {
  Padded p(std::max<int64_t>(rows, 1), heads, 5);
  Padded v(std::max<int64_t>(rows, 1), width, 6);
  Padded out(heads, width, 7);
  Padded pieces = out;
  const Padded start = out;
  WeightedRowsJob job{.p = p.Row(0),
                      .p_stride = p.stride,
                      .row = v.Row(0),
                      .row_stride = v.stride,
                      .out = out.Row(0),
                      .out_stride = out.stride,
                      .heads = heads,
                      .rows = rows,
                      .width = width};
  kernels.attention.add_weighted_rows(job);
  // The same in two calls, one head at a time: streaming and tiling change no bit.
  const int64_t cut = rows / 3;
  job.heads = 1;
  for (int64_t h = 0; h < heads; ++h) {
    job.out = pieces.Row(h);
    job.p = p.Row(0) + h;
    job.row = v.Row(0);
    job.rows = cut;
    kernels.attention.add_weighted_rows(job);
    job.p = p.Row(cut) + h;
    job.row = v.Row(cut);
    job.rows = rows - cut;
    kernels.attention.add_weighted_rows(job);
  }
  for (int64_t h = 0; h < heads; ++h) {
    for (int64_t i = 0; i < width; ++i) {
      double value = start.values[static_cast<size_t>(1 + h * start.stride + i)];
      double magnitude = std::fabs(value);
      for (int64_t r = 0; r < rows; ++r) {
        const double term = static_cast<double>(p.Row(r)[h]) * v.Row(r)[i];
        value += term;
        magnitude += std::fabs(term);
      }
      // Two roundings a row, where products and sums are not fused.
      const double tolerance = magnitude * static_cast<double>(rows + 8) * 0x1p-24;
      ASSERT_NEAR(out.Row(h)[i], value, tolerance) << kernels.name << " " << h << " " << i;
      ASSERT_EQ(out.Row(h)[i], pieces.Row(h)[i]) << kernels.name << " " << h << " " << i;
    }
  }
}

TEST_P(AttentionKernelsOf, AddWeightedRows) {
  for (int64_t width = 1; width <= 33; ++width) CheckAddWeightedRows(kernels_, 3, 5, width);
  for (int64_t heads = 1; heads <= 17; ++heads) CheckAddWeightedRows(kernels_, heads, 7, 20);
  for (const int64_t rows : {0, 1, 2, 64}) CheckAddWeightedRows(kernels_, 8, rows, 128);
}

TEST_P(AttentionKernelsOf, Divide) {
  for (int64_t n = 1; n <= 35; ++n) {
    for (const bool round : {false, true}) {
      Padded x(1, n, 8);
      x.Row(0)[n - 1] = -0.0F;
      const Padded before = x;
      constexpr float kDivisor = 3.7F;
      kernels_.attention.divide(x.Row(0), n, kDivisor, round);
      for (int64_t i = 0; i < n; ++i) {
        const float quotient = before.values[static_cast<size_t>(1 + i)] / kDivisor + 0.0F;
        const float expected = round ? RoundBf16(quotient) : quotient;
        ASSERT_EQ(std::bit_cast<uint32_t>(x.Row(0)[i]), std::bit_cast<uint32_t>(expected))
            << kernels_.name << " " << n << " " << i;
      }
      ASSERT_TRUE(std::isnan(x.values.back()));
    }
  }
  Floats x{1, -2, 0};
  kernels_.attention.divide(x.data(), 3, std::numeric_limits<float>::infinity(), false);
  for (const float value : x) EXPECT_EQ(value, 0.0F);
}

TEST_P(AttentionKernelsOf, ExpandE4m3Blocks) {
  if (kernels_.bf16 == nullptr) GTEST_SKIP();
  for (int64_t n = 1; n <= 200; ++n) {
    std::vector<uint8_t> bytes = RandomBytes(static_cast<size_t>(n) + 1, 1);
    for (uint8_t& byte : bytes) byte = (byte & 0x7F) == 0x7F ? 0 : byte;
    const std::vector<uint8_t> scales{127, 120, 135, 140};
    std::vector<uint16_t> out(static_cast<size_t>(n + 31) / 32 * 32 + 1, kGuard);
    kernels_.bf16->expand_e4m3_blocks(bytes.data() + 1, scales.data(), n, SharedBf16Tables(),
                                      out.data());
    for (int64_t i = 0; i < std::ssize(out) - 1; ++i) {
      const auto at = static_cast<size_t>(i);
      const float expected = i < n ? E4m3ToFloat(bytes[at + 1]) * E8m0ToFloat(scales[at / 64]) : 0;
      ASSERT_EQ(out[at], FloatToBf16(expected)) << n << " " << i;
    }
    ASSERT_EQ(out.back(), kGuard);
  }
}

TEST_P(AttentionKernelsOf, PackRows) {
  if (kernels_.bf16 == nullptr) GTEST_SKIP();
  for (const int64_t n : {32, 64, 96}) {
    for (int64_t rows = 1; rows <= 70; ++rows) {
      const int64_t stride = n + 5;
      std::vector<uint16_t> x(static_cast<size_t>(rows * stride));
      for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<uint16_t>(i + 1);
      const int64_t blocks = (rows + 31) / 32;
      std::vector<uint16_t> b(static_cast<size_t>(blocks * 32 * n + 1), kGuard);
      kernels_.bf16->pack_rows(x.data(), stride, rows, n, b.data());
      for (int64_t r = 0; r < blocks * 32; ++r) {
        for (int64_t i = 0; i < n; ++i) {
          const int64_t tile = r / 32 * n / 16 + i / 16;
          const int64_t at = tile * 512 + r % 32 / 2 * 32 + i % 16 * 2 + r % 2;
          const uint16_t expected = r < rows ? x[static_cast<size_t>(r * stride + i)] : 0;
          ASSERT_EQ(b[static_cast<size_t>(at)], expected) << rows << " rows: " << r << " " << i;
        }
      }
      ASSERT_EQ(b.back(), kGuard);
    }
  }
}

TEST_P(AttentionKernelsOf, Transpose) {
  if (kernels_.bf16 == nullptr) GTEST_SKIP();
  for (int64_t heads = 1; heads <= 35; ++heads) {
    for (const int64_t rows : {1, 2, 15, 31, 32}) {
      Padded x(rows, heads, 9);
      constexpr int64_t kStride = 40;
      std::vector<uint16_t> out(static_cast<size_t>(heads * kStride), kGuard);
      kernels_.bf16->transpose(x.Row(0), x.stride, rows, heads, out.data(), kStride);
      for (int64_t h = 0; h < heads; ++h) {
        for (int64_t r = 0; r < kStride; ++r) {
          const uint16_t expected = r < rows ? FloatToBf16(x.Row(r)[h]) : r < 32 ? 0 : kGuard;
          ASSERT_EQ(out[static_cast<size_t>(h * kStride + r)], expected) << h << " " << r;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, AttentionKernelsOf, ::testing::ValuesIn(Available()),
                         [](const auto& kernels) { return std::string(kernels.param->name); });

}  // namespace
}  // namespace dsv
