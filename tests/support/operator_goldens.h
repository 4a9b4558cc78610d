// The tensors of one ops.safetensors: inputs for operators, comparisons of their outputs, and a
// record of the tensors that were compared.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "cache/batch.h"
#include "support/model_fixture.h"
#include "tensor/number_formats.h"

namespace dsv::testing {

using Floats = std::vector<float>;

// The limits that the vectors were published with; float32 arithmetic in another summation order
// stays far below them.
inline constexpr double kF32Limit = 1e-5;  // absolute, or relative to values above 1
// Share of the bf16 elements of a tensor that may differ, each by one step.
inline constexpr double kRoundedDiffer = 0.005;

// Position of a bf16 value in the order of all bf16 values; -0 and +0 are the same.
inline int64_t Bf16Order(float value) {
  const int64_t bits = FloatToBf16(value);
  return (bits & 0x8000) != 0 ? -(bits & 0x7FFF) : bits;
}

// The tensors of one file, with a record of those that were tested.
class Goldens {
 public:
  explicit Goldens(const std::string& model) : file_(VectorsOf(model) / "ops.safetensors") {
    positions_ = file_.Ints("positions");
    tokens_ = file_.Ints<int32_t>("tokens");
    used_ = {"positions", "tokens"};
  }

  const std::vector<int64_t>& positions() const { return positions_; }
  const std::vector<int32_t>& tokens() const { return tokens_; }
  int64_t rows() const { return static_cast<int64_t>(positions_.size()); }
  std::vector<int32_t> TokensAtPositions() const {
    std::vector<int32_t> tokens;
    for (const int64_t p : positions_) tokens.push_back(tokens_[static_cast<size_t>(p)]);
    return tokens;
  }
  // The rows at the listed positions; for the row-wise operators, which need no segments.
  Batch BatchAtPositions() const { return {{}, TokensAtPositions(), positions_}; }

  // An input of an operator.
  Floats In(const std::string& name) const { return file_.Floats(name); }
  std::vector<int64_t> Ids(const std::string& name) const { return file_.Ints(name); }
  // The rows at the listed positions of a tensor that has all T rows.
  Floats AtPositions(const std::string& name) const {
    const Floats all = file_.Floats(name);
    const auto width = static_cast<int64_t>(all.size() / tokens_.size());
    Floats rows;
    for (const int64_t p : positions_) {
      rows.insert(rows.end(), all.begin() + p * width, all.begin() + (p + 1) * width);
    }
    return rows;
  }

  // Outputs. A name may be checked once only, so that nothing hides another check.
  Floats Output(const std::string& name) {
    Use(name);
    const bool all_rows = file_.View(name).shape.front() == static_cast<int64_t>(tokens_.size());
    return all_rows ? AtPositions(name) : file_.Floats(name);
  }

  void ExpectF32(const std::string& name, const Floats& got) {
    const Floats expected = Output(name);
    ASSERT_EQ(got.size(), expected.size()) << name;
    for (size_t i = 0; i < got.size(); ++i) {
      const double limit = kF32Limit * std::max(1.0, std::fabs(static_cast<double>(expected[i])));
      ASSERT_TRUE(std::fabs(static_cast<double>(got[i]) - expected[i]) <= limit)
          << name << "[" << i << "]: expected " << expected[i] << ", found " << got[i];
    }
  }

  // bf16 values: few may differ, each by one bf16 step.
  void ExpectBf16(const std::string& name, const Floats& got) {
    ExpectSteps(name, got, [](float value, float expected, size_t) {
      return std::abs(Bf16Order(value) - Bf16Order(expected)) <= 1;
    });
  }

  // Rows whose first `simulated` components went through a narrow format in blocks: there a step
  // of the format is allowed, in the rest one of bf16.
  void ExpectSimulated(const std::string& name, const Floats& got, int64_t width, int64_t simulated,
                       int64_t block, int mantissa_bits, float format_max) {
    const Floats expected = Output(name);
    ExpectSteps(name, expected, got, [&](float value, float wanted, size_t i) {
      const auto column = static_cast<int64_t>(i) % width;
      if (column >= simulated) return std::abs(Bf16Order(value) - Bf16Order(wanted)) <= 1;
      const float* begin = expected.data() + static_cast<int64_t>(i) - column % block;
      float max = 0;
      for (int64_t j = 0; j < block; ++j) max = std::max(max, std::fabs(begin[j]));
      const float scale = PowerOfTwoCeil(std::max(max, 1e-30F) / format_max);
      const int exponent = std::max(std::ilogb(wanted / scale), mantissa_bits == 3 ? -6 : 0);
      return std::fabs(value - wanted) <= std::ldexp(scale, exponent - mantissa_bits);
    });
  }

  void ExpectIds(const std::string& name, const std::vector<int64_t>& got) {
    Use(name);
    EXPECT_EQ(file_.Ints(name), got) << name;
  }

  void ExpectBytes(const std::string& name, const std::vector<uint8_t>& got) {
    Use(name);
    const TensorView& view = file_.View(name);
    ASSERT_EQ(view.Bytes(), static_cast<int64_t>(got.size())) << name;
    EXPECT_EQ(std::memcmp(view.data, got.data(), got.size()), 0) << name;
  }

  // An input that must equal an output that was checked already, or that only feeds operators.
  void ExpectSame(const std::string& name, const Floats& expected) {
    Use(name);
    EXPECT_EQ(file_.Floats(name), expected) << name;
  }
  void UseAsInput(const std::string& name) { Use(name); }

  void ExpectAllUsed() const {
    for (const NamedTensor& tensor : file_.tensors()) {
      EXPECT_TRUE(used_.contains(tensor.name)) << tensor.name << " was not tested";
    }
    EXPECT_EQ(used_.size(), file_.tensors().size());
  }

 private:
  void Use(const std::string& name) {
    EXPECT_TRUE(used_.insert(name).second) << name << " was tested before";
  }

  template <class OneStep>
  void ExpectSteps(const std::string& name, const Floats& got, const OneStep& one_step) {
    const Floats expected = Output(name);
    ExpectSteps(name, expected, got, one_step);
  }
  template <class OneStep>
  void ExpectSteps(const std::string& name, const Floats& expected, const Floats& got,
                   const OneStep& one_step) {
    ASSERT_EQ(got.size(), expected.size()) << name;
    size_t differ = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      if (got[i] == expected[i]) continue;
      ++differ;
      ASSERT_TRUE(one_step(got[i], expected[i], i))
          << name << "[" << i << "]: expected " << expected[i] << ", found " << got[i];
    }
    if (differ > 0) std::printf("%s: %zu of %zu differ\n", name.c_str(), differ, got.size());
    EXPECT_LE(static_cast<double>(differ), kRoundedDiffer * static_cast<double>(got.size()))
        << name;
  }

  Vectors file_;
  std::vector<int64_t> positions_;
  std::vector<int32_t> tokens_;
  std::set<std::string> used_;
};

}  // namespace dsv::testing
