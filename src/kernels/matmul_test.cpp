// Products with stored weights of every format against sums in double; and the law: the same bits
// for any number of rows and threads.
#include "kernels/matmul.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/expand.h"
#include "kernels/kernels.h"
#include "kernels/reference/reference.h"
#include "support/random_values.h"
#include "tensor/number_formats.h"

namespace dsv {
namespace {

using testing::RandomBytes;
using testing::RandomFloats;
using testing::ToDouble;

constexpr MatrixFormat kFormats[] = {MatrixFormat::kF32, MatrixFormat::kBF16,
                                     MatrixFormat::kFp8E8M0, MatrixFormat::kFp8F32,
                                     MatrixFormat::kFp4E8M0};

const Kernels& TestKernels() { return **SelectKernels(ForcedIsa()); }

// A stored matrix at an odd address, and its values in double.
class StoredMatrix {
 public:
  StoredMatrix(MatrixFormat format, int64_t out, int64_t in, uint32_t seed) {
    const bool fp4 = format == MatrixFormat::kFp4E8M0;
    const int64_t scale_rows = fp4 ? out : (out + 127) / 128;
    const int64_t scale_columns = fp4 ? in / 32 : (in + 127) / 128;
    data_ = {0};
    scale_ = {0};
    switch (format) {
      case MatrixFormat::kF32:
        AppendFloats(data_, RandomFloats(static_cast<size_t>(out * in), seed));
        break;
      case MatrixFormat::kBF16:
        for (const float value : RandomFloats(static_cast<size_t>(out * in), seed)) {
          const uint16_t bits = FloatToBf16(value);
          data_.push_back(static_cast<uint8_t>(bits & 255U));
          data_.push_back(static_cast<uint8_t>(bits >> 8U));
        }
        break;
      default:
        for (uint8_t byte : RandomBytes(static_cast<size_t>(fp4 ? out * in / 2 : out * in), seed)) {
          if (!fp4 && (byte & 0x7FU) == 0x7FU) byte = 0x7E;  // no NaN, 448 instead
          data_.push_back(byte);
        }
    }
    if (format == MatrixFormat::kFp8F32) {
      AppendFloats(scale_, RandomFloats(static_cast<size_t>(scale_rows * scale_columns), seed + 1));
    } else {
      for (const uint8_t byte :
           RandomBytes(static_cast<size_t>(scale_rows * scale_columns), seed + 1)) {
        scale_.push_back(static_cast<uint8_t>(115 + byte % 10));
      }
    }
    const bool has_scale = format != MatrixFormat::kF32 && format != MatrixFormat::kBF16;
    view_ = {format, out, in, reinterpret_cast<const std::byte*>(data_.data() + 1),
             has_scale ? reinterpret_cast<const std::byte*>(scale_.data() + 1) : nullptr};
  }
  StoredMatrix(const StoredMatrix&) = delete;

  const MatrixView& view() const { return view_; }

  // From the definitions of the formats, without the code under test.
  double Value(int64_t i, int64_t j) const {
    const auto at = static_cast<size_t>(1 + i * view_.in + j);
    const int64_t block = i / 128 * ((view_.in + 127) / 128) + j / 128;
    switch (view_.format) {
      case MatrixFormat::kF32:
        return LoadUnaligned<float>(data_.data() + 1 + 4 * (i * view_.in + j));
      case MatrixFormat::kBF16:
        return Bf16ToFloat(LoadUnaligned<uint16_t>(data_.data() + 1 + 2 * (i * view_.in + j)));
      case MatrixFormat::kFp8E8M0:
        return reference::E4m3Value(data_[at]) *
               reference::E8m0Value(scale_[static_cast<size_t>(1 + block)]);
      case MatrixFormat::kFp8F32:
        return reference::E4m3Value(data_[at]) *
               static_cast<double>(LoadUnaligned<float>(scale_.data() + 1 + 4 * block));
      case MatrixFormat::kFp4E8M0: {
        const uint8_t byte = data_[static_cast<size_t>(1 + (i * view_.in + j) / 2)];
        const auto code = static_cast<uint8_t>(j % 2 == 0 ? byte & 15U : byte >> 4U);
        return reference::E2m1Value(code) *
               reference::E8m0Value(scale_[static_cast<size_t>(1 + (i * view_.in + j) / 32)]);
      }
    }
    return 0;
  }

 private:
  static void AppendFloats(std::vector<uint8_t>& bytes, const std::vector<float>& values) {
    const size_t size = bytes.size();
    bytes.resize(size + values.size() * 4);
    std::memcpy(bytes.data() + size, values.data(), values.size() * 4);
  }

  std::vector<uint8_t> data_;
  std::vector<uint8_t> scale_;
  MatrixView view_;
};

std::vector<float> Multiply(ThreadPool& pool, Precision precision, LinearKind kind,
                            const std::vector<float>& x, int64_t rows, const MatrixView& weight) {
  const OpContext context{TestKernels(), pool, precision};
  std::vector<float> y(static_cast<size_t>(rows * weight.out), NAN);
  std::vector<float> scratch(x.size());
  if (kind == LinearKind::kQuantized) {
    QuantizedLinear(context, x.data(), rows, weight, scratch.data(), y.data());
  } else {
    MatMul(context, kind, x.data(), rows, weight, y.data());
  }
  return y;
}

// What the product is of in reference precision (spec 2.5): inputs and weights after their
// roundings.
double RoundedWeight(double w, LinearKind kind, MatrixFormat format) {
  const bool rounds = kind == LinearKind::kBF16
                          ? format == MatrixFormat::kF32 || format == MatrixFormat::kFp8F32
                          : kind == LinearKind::kQuantized && format == MatrixFormat::kF32;
  // The product of E4M3 and F32 scale is rounded to float before it is rounded to bf16.
  return rounds ? reference::RoundBf16(static_cast<float>(w)) : w;
}

void CheckProduct(MatrixFormat format, LinearKind kind, Precision precision, int64_t out,
                  int64_t in, int64_t rows) {
  const StoredMatrix matrix(format, out, in, 11);
  // bf16 inputs, as all of the model's are
  std::vector<float> x = RandomFloats(static_cast<size_t>(rows * in), 12);
  for (float& value : x) value = RoundBf16(value);
  ThreadPool pool(2);
  const std::vector<float> y = Multiply(pool, precision, kind, x, rows, matrix.view());
  const bool reference_precision = precision == Precision::kReference;
  const bool narrow = format != MatrixFormat::kF32 && format != MatrixFormat::kBF16;
  const bool rounds_output = reference_precision && kind != LinearKind::kF32;
  for (int64_t t = 0; t < rows; ++t) {
    std::vector<double> row = ToDouble({x.begin() + t * in, x.begin() + (t + 1) * in});
    if (reference_precision && kind == LinearKind::kQuantized && narrow) {
      row = reference::SimulateFp8(row, 128);
    }
    for (int64_t i = 0; i < out; ++i) {
      double sum = 0;
      double magnitude = 0;
      for (int64_t j = 0; j < in; ++j) {
        double w = matrix.Value(i, j);
        if (reference_precision) w = RoundedWeight(w, kind, format);
        sum += w * row[static_cast<size_t>(j)];
        magnitude += std::fabs(w * row[static_cast<size_t>(j)]);
      }
      const double got = y[static_cast<size_t>(t * out + i)];
      const double step = rounds_output ? std::fabs(sum) * 0x1p-8 : 0;
      ASSERT_TRUE(std::fabs(got - sum) <= step + magnitude * static_cast<double>(in + 2) * 0x1p-24)
          << "format " << static_cast<int>(format) << " kind " << static_cast<int>(kind) << " row "
          << t << " out " << i << ": expected " << sum << ", found " << got;
      if (rounds_output) {
        ASSERT_EQ(got, reference::RoundBf16(got));
      }
    }
  }
}

TEST(MatMul, EveryFormatKindAndPrecision) {
  for (const MatrixFormat format : kFormats) {
    for (const LinearKind kind : {LinearKind::kQuantized, LinearKind::kBF16, LinearKind::kF32}) {
      for (const Precision precision : {Precision::kReference, Precision::kF32}) {
        // Ragged last block of outputs; whole blocks of inputs, which quantised linears have.
        CheckProduct(format, kind, precision, 131, 256, 3);
        // More than one strip of outputs, piece of inputs and tile of rows, the last ones ragged.
        CheckProduct(format, kind, precision, 261, 640, 37);
        CheckProduct(format, kind, precision, 24, 256, 61);
      }
    }
  }
}

TEST(MatMul, RaggedInputs) {
  // Only wo_a (kBF16) may have an input that is no multiple of the block (spec 3.3).
  for (const MatrixFormat format :
       {MatrixFormat::kF32, MatrixFormat::kBF16, MatrixFormat::kFp8E8M0, MatrixFormat::kFp8F32}) {
    for (const int64_t in : {1, 17, 100, 192, 200}) {
      CheckProduct(format, LinearKind::kBF16, Precision::kReference, 37, in, 2);
      CheckProduct(format, LinearKind::kBF16, Precision::kF32, 37, in, 2);
    }
  }
}

TEST(MatMul, OneRowAndManyRowsHaveTheSameBits) {
  ThreadPool one(1);
  ThreadPool three(3);
  for (const MatrixFormat format : kFormats) {
    const int64_t in = 640;
    const int64_t out = 88;
    const StoredMatrix matrix(format, out, in, 21);
    for (const Precision precision : {Precision::kReference, Precision::kF32}) {
      const int64_t most = 550;  // more than one panel of rows
      const auto x = RandomFloats(static_cast<size_t>(most * in), 22);
      const auto all = Multiply(three, precision, LinearKind::kQuantized, x, most, matrix.view());
      EXPECT_EQ(all, Multiply(one, precision, LinearKind::kQuantized, x, most, matrix.view()));
      for (int64_t rows = 1; rows <= 65; rows += rows < 17 ? 1 : 16) {
        const int64_t first = most - rows - 3;
        const std::vector<float> part(x.begin() + first * in, x.begin() + (first + rows) * in);
        const std::vector<float> expected(all.begin() + first * out,
                                          all.begin() + (first + rows) * out);
        EXPECT_EQ(expected, Multiply(rows % 2 == 0 ? one : three, precision, LinearKind::kQuantized,
                                     part, rows, matrix.view()))
            << static_cast<int>(format) << " rows " << rows;
      }
    }
  }
}

TEST(MatMul, PartOfTheOutputs) {
  const StoredMatrix matrix(MatrixFormat::kFp8E8M0, 200, 128, 31);
  const auto x = RandomFloats(5 * 128, 32);
  ThreadPool pool(2);
  const OpContext context{TestKernels(), pool, Precision::kF32};
  const auto all = Multiply(pool, Precision::kF32, LinearKind::kBF16, x, 5, matrix.view());
  std::vector<float> part(5 * 70, NAN);
  const MatMulJob job{x.data(), 128, 5, &matrix.view(), 121, 180, part.data(), 70};
  MatMul(context, LinearKind::kBF16, std::span(&job, 1));
  for (size_t t = 0; t < 5; ++t) {
    for (size_t i = 0; i < 59; ++i) EXPECT_EQ(part[t * 70 + i], all[t * 200 + 121 + i]);
    EXPECT_TRUE(std::isnan(part[t * 70 + 59]));
  }
}

// Scale bytes 0 (an fp32 subnormal) and 254, and E4M3 subnormals, are ordinary values.
TEST(MatMul, ExtremeScaleBytes) {
  ThreadPool pool(1);
  const std::vector<uint8_t> codes{0x01, 0x08, 0x38, 0x7E, 0x81, 0xFE, 0x00, 0x80};
  for (const uint8_t scale : {uint8_t{0}, uint8_t{1}, uint8_t{119}, uint8_t{200}, uint8_t{244}}) {
    for (const uint8_t code : codes) {
      std::vector<uint8_t> data(128, 0);
      data[77] = code;
      const MatrixView view{MatrixFormat::kFp8E8M0, 1, 128,
                            reinterpret_cast<const std::byte*>(data.data()),
                            reinterpret_cast<const std::byte*>(&scale)};
      std::vector<float> x(128, 0.0F);
      x[77] = 2.0F;
      const auto y = Multiply(pool, Precision::kF32, LinearKind::kF32, x, 1, view);
      EXPECT_EQ(static_cast<double>(y[0]),
                2.0 * reference::E4m3Value(code) * reference::E8m0Value(scale));
    }
  }
  const uint8_t top = 254;
  const uint8_t packed = 0x2A;  // 1.0 in the high nibble, -1.0 in the low one
  std::vector<uint8_t> data(16, packed);
  const MatrixView view{MatrixFormat::kFp4E8M0, 1, 32,
                        reinterpret_cast<const std::byte*>(data.data()),
                        reinterpret_cast<const std::byte*>(&top)};
  std::vector<float> row(32);
  ExpandRow(TestKernels(), view, 0, row.data());
  EXPECT_EQ(row[0], -0x1p127F);
  EXPECT_EQ(row[1], 0x1p127F);
}

TEST(ExpandVector, ReadsUnalignedF32AndBf16) {
  std::vector<uint8_t> bytes{0, 0, 0, 0x80, 0x3F, 0, 0, 0x20, 0xC1};
  const auto* data = reinterpret_cast<const std::byte*>(bytes.data() + 1);
  EXPECT_EQ(ExpandVector(VectorView{DType::kF32, 2, data}), (std::vector<float>{1.0F, -10.0F}));
  EXPECT_EQ(ExpandVector(VectorView{DType::kBF16, 2, data}), (std::vector<float>{0.0F, 1.0F}));
}

}  // namespace
}  // namespace dsv
