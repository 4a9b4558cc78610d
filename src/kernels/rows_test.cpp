// Row kernels on every instruction set of this machine against double or the scalar definition: all
// lengths around the number of lanes, without alignment, and nothing touched beyond the row.
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
using testing::ToDouble;
using Floats = std::vector<float>;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class RowKernelsTest : public ::testing::TestWithParam<const Kernels*> {
 protected:
  const Kernels& kernels_ = *GetParam();
};

// Random values behind a NaN, and one after them.
struct Guarded {
  Guarded(int64_t count, uint32_t seed) : n(count), values(static_cast<size_t>(n) + 2, kNan) {
    const Floats random = RandomFloats(static_cast<size_t>(n), seed);
    std::copy(random.begin(), random.end(), values.begin() + 1);
  }
  float* data() { return values.data() + 1; }
  float operator[](int64_t i) const { return values[static_cast<size_t>(i) + 1]; }
  Floats row() const { return {values.begin() + 1, values.end() - 1}; }
  bool intact() const { return std::isnan(values.front()) && std::isnan(values.back()); }

  int64_t n;
  Floats values;
};

std::vector<int64_t> Lengths() {
  std::vector<int64_t> lengths{63, 64, 65, 127, 128, 129, 512, 1000};
  for (int64_t n = 0; n <= 2 * 16 + 1; ++n) lengths.push_back(n);
  return lengths;
}

std::vector<uint16_t> ToBf16(const Floats& x) {
  std::vector<uint16_t> bits;
  for (const float value : x) bits.push_back(FloatToBf16(value));
  return bits;
}

TEST_P(RowKernelsTest, SumOfSquares) {
  for (const int64_t n : Lengths()) {
    Guarded x(n, 1);
    double sum = 0;
    for (const double value : ToDouble(x.row())) sum += value * value;
    EXPECT_NEAR(kernels_.rows.sum_of_squares(x.data(), n), sum, sum * 0x1p-20) << n;
  }
}

TEST_P(RowKernelsTest, RmsNormWithStoredWeights) {
  for (const int64_t n : Lengths()) {
    const Floats w = RandomFloats(static_cast<size_t>(n), 2);
    const std::vector<uint16_t> narrow = ToBf16(w);
    for (const bool bf16 : {false, true}) {
      std::vector<uint8_t> stored(1);  // an odd address
      const auto* bytes = bf16 ? reinterpret_cast<const uint8_t*>(narrow.data())
                               : reinterpret_cast<const uint8_t*>(w.data());
      stored.insert(stored.end(), bytes, bytes + n * (bf16 ? 2 : 4));
      std::vector<double> weights = ToDouble(w);
      for (size_t i = 0; bf16 && i < narrow.size(); ++i) weights[i] = Bf16ToFloat(narrow[i]);
      Guarded x(n, 3);
      Guarded y(n, 4);
      Guarded rounded = x;
      const auto expected = reference::RmsNorm(ToDouble(x.row()), 1e-6, &weights);
      RmsNormJob job{x.data(), n, stored.data() + 1, bf16, 1e-6F, false, y.data()};
      kernels_.rows.rms_norm(job);
      job.x = job.y = rounded.data();
      job.round = true;
      kernels_.rows.rms_norm(job);
      for (int64_t i = 0; i < n; ++i) {
        const double exact = expected[static_cast<size_t>(i)];
        ASSERT_NEAR(y[i], exact, std::fabs(exact) * 0x1p-20) << n;
        ASSERT_EQ(rounded[i], RoundBf16(y[i])) << n;
      }
      ASSERT_TRUE(x.intact() && y.intact() && rounded.intact());
    }
  }
}

// Sums of bf16 squares are exact enough in any order that the rounded mean rarely differs; the
// values here are multiples of 1/8, whose sums are exact.
TEST_P(RowKernelsTest, HeadNormRoundsEveryStep) {
  for (const int64_t n : Lengths()) {
    if (n == 0) continue;
    Guarded x(n, 5);
    for (int64_t i = 0; i < n; ++i) x.data()[i] = std::round(x[i] * 16) / 8;
    x.data()[0] = 1;
    float sum = 0;
    for (const float value : x.row()) sum += RoundBf16(value * value);
    const float shifted = RoundBf16(RoundBf16(sum / static_cast<float>(n)) + 1e-6F);
    const float scale = RoundBf16(1.0F / std::sqrt(shifted));
    const Floats before = x.row();
    Guarded f32 = x;
    kernels_.rows.head_norm(x.data(), n, 1e-6F, true);
    kernels_.rows.head_norm(f32.data(), n, 1e-6F, false);
    const auto exact = reference::RmsNorm(ToDouble(before), 1e-6);
    for (int64_t i = 0; i < n; ++i) {
      const auto at = static_cast<size_t>(i);
      ASSERT_EQ(x[i], RoundBf16(before[at] * scale)) << n;
      ASSERT_NEAR(f32[i], exact[at], std::fabs(exact[at]) * 0x1p-20) << n;
    }
    ASSERT_TRUE(x.intact() && f32.intact());
  }
}

TEST_P(RowKernelsTest, RoundsAndAddsElementByElement) {
  for (const int64_t n : Lengths()) {
    Guarded x(n, 6);
    const Guarded a = x;
    Guarded b(n, 7);
    Guarded c(n, 8);
    kernels_.rows.round_bf16(x.data(), n);
    Guarded with_f32 = a;
    Guarded with_bf16 = a;
    const std::vector<uint16_t> narrow = ToBf16(b.row());
    kernels_.rows.add_stored(b.data(), false, n, with_f32.data());
    kernels_.rows.add_stored(narrow.data(), true, n, with_bf16.data());
    const float* rows[] = {Guarded(a).data(), b.data(), c.data()};
    Guarded first = a;
    rows[0] = first.data();
    Guarded sum(n, 9);
    Guarded rounded(n, 9);
    kernels_.rows.sum_rows(rows, 3, n, false, sum.data());
    kernels_.rows.sum_rows(rows, 3, n, true, rounded.data());
    for (int64_t i = 0; i < n; ++i) {
      ASSERT_EQ(x[i], RoundBf16(a[i]));
      ASSERT_EQ(with_f32[i], a[i] + b[i]);
      ASSERT_EQ(with_bf16[i], a[i] + Bf16ToFloat(narrow[static_cast<size_t>(i)]));
      ASSERT_EQ(sum[i], a[i] + b[i] + c[i]);
      ASSERT_EQ(rounded[i], RoundBf16(sum[i]));
    }
    ASSERT_TRUE(x.intact() && with_f32.intact() && with_bf16.intact() && sum.intact());
  }
}

TEST_P(RowKernelsTest, RotateHasTheBitsOfTheDefinition) {
  for (int64_t n = 0; n <= 66; n += 2) {
    Floats cos(static_cast<size_t>(n));
    Floats sin(cos.size());
    for (size_t i = 0; i < cos.size(); i += 2) {
      cos[i] = cos[i + 1] = std::cos(static_cast<float>(i));
      sin[i + 1] = std::sin(static_cast<float>(i));
      sin[i] = -sin[i + 1];
    }
    for (const bool back : {false, true}) {
      for (const bool round : {false, true}) {
        Guarded x(n, 10);
        const Floats before = x.row();
        kernels_.rows.rotate(cos.data(), sin.data(), n, back, round, x.data());
        for (size_t i = 0; i < before.size(); i += 2) {
          const float s = back ? -sin[i + 1] : sin[i + 1];
          const float first = before[i] * cos[i] - before[i + 1] * s;
          const float second = before[i] * s + before[i + 1] * cos[i];
          ASSERT_EQ(x[static_cast<int64_t>(i)], round ? RoundBf16(first) : first);
          ASSERT_EQ(x[static_cast<int64_t>(i) + 1], round ? RoundBf16(second) : second);
        }
        ASSERT_TRUE(x.intact());
      }
    }
  }
}

TEST_P(RowKernelsTest, HadamardHasTheBitsOfTheDefinition) {
  for (int64_t n = 1; n <= 512; n *= 2) {
    Guarded x(n, 11);
    Floats expected = x.row();
    const auto size = static_cast<size_t>(n);
    for (size_t half = 1; half < size; half *= 2) {
      for (size_t i = 0; i < size; ++i) {
        if ((i & half) != 0) continue;
        const float a = expected[i];
        expected[i] = a + expected[i + half];
        expected[i + half] = a - expected[i + half];
      }
    }
    Guarded rounded = x;
    kernels_.rows.hadamard(x.data(), n, false);
    kernels_.rows.hadamard(rounded.data(), n, true);
    const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(n)));
    for (int64_t i = 0; i < n; ++i) {
      ASSERT_EQ(x[i], expected[static_cast<size_t>(i)] * scale) << n;
      ASSERT_EQ(rounded[i], RoundBf16(x[i])) << n;
    }
    ASSERT_TRUE(x.intact() && rounded.intact());
  }
}

// Every bf16 value alone in its block, and beside infinities and NaNs: the scalar definition.
TEST_P(RowKernelsTest, QuantisersOfEveryBf16Value) {
  const auto same = [](float a, float b) {
    return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b) ||
           (std::isnan(a) && std::isnan(b));
  };
  const auto quantize = [](float x, float scale, bool fp8) {
    const float limit = fp8 ? kE4m3Max : kE2m1Max;
    const float clamped = std::min(std::max(x * (1.0F / scale), -limit), limit);
    return (fp8 ? RoundE4m3(clamped) : RoundE2m1(clamped)) * scale;
  };
  const float inf = std::numeric_limits<float>::infinity();
  for (const float other : {0.0F, 1.0F, -3e38F, 0x1p-130F, inf, kNan}) {
    for (uint32_t bits = 0; bits < 65536; ++bits) {
      const float value = Bf16ToFloat(static_cast<uint16_t>(bits));
      float max = 0;
      for (const float x : {value, other}) max = std::max(max, std::fabs(x));
      for (const bool fp8 : {true, false}) {
        const float floor = fp8 ? 1e-4F : 0x1.8p-124F;
        const float scale =
            PowerOfTwoCeil(std::max(max, floor) * (1.0F / (fp8 ? kE4m3Max : kE2m1Max)));
        const float x[] = {value, other};
        float y[2];
        (fp8 ? kernels_.quant.fp8 : kernels_.quant.fp4)(x, 2, 32, y);
        ASSERT_TRUE(same(y[0], quantize(value, scale, fp8))) << value << " beside " << other;
        ASSERT_TRUE(same(y[1], quantize(other, scale, fp8))) << other << " beside " << value;
      }
    }
  }
}

TEST_P(RowKernelsTest, StreamsEqualTheDefinition) {
  for (const int64_t d : Lengths()) {
    Guarded streams(4 * d, 12);
    Guarded u(d, 13);
    Guarded y(d, 14);
    Guarded rounded(d, 14);
    const Floats pre = RandomFloats(4, 15);
    const Floats post = RandomFloats(4, 16);
    const Floats comb = RandomFloats(16, 17);
    const Floats x = streams.row();
    kernels_.streams.collapse(streams.data(), pre.data(), d, false, y.data());
    kernels_.streams.collapse(streams.data(), pre.data(), d, true, rounded.data());
    Guarded mixed = streams;
    Guarded mixed_rounded = streams;
    kernels_.streams.mix(u.data(), post.data(), comb.data(), d, false, mixed.data());
    const float squares =
        kernels_.streams.mix(u.data(), post.data(), comb.data(), d, true, mixed_rounded.data());
    ASSERT_EQ(squares, kernels_.streams.sum_of_squares(mixed_rounded.data(), d));
    const auto at = [&](size_t j, int64_t i) {
      return double{x[j * static_cast<size_t>(d) + static_cast<size_t>(i)]};
    };
    for (int64_t i = 0; i < d; ++i) {
      double sum = 0;
      for (size_t j = 0; j < 4; ++j) sum += pre[j] * at(j, i);
      ASSERT_NEAR(y[i], sum, 1e-6);
      ASSERT_EQ(rounded[i], RoundBf16(y[i]));
      for (size_t k = 0; k < 4; ++k) {
        double next = double{post[k]} * u[i];
        for (size_t j = 0; j < 4; ++j) next += comb[j * 4 + k] * at(j, i);
        const int64_t place = static_cast<int64_t>(k) * d + i;
        ASSERT_NEAR(mixed[place], next, 1e-6);
        ASSERT_EQ(mixed_rounded[place], RoundBf16(mixed[place]));
      }
    }
    ASSERT_TRUE(y.intact() && mixed.intact() && mixed_rounded.intact());
  }
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, RowKernelsTest,
                         ::testing::ValuesIn(testing::AvailableKernels()), testing::NameOfKernels);

}  // namespace
}  // namespace dsv
