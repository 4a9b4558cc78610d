// Rotary position embedding of the last components of a vector, in interleaved pairs (spec 3.8).
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/context.h"

namespace dsv {

// YaRN parameters; original_length 0 means none.
struct RopeScaling {
  double factor = 1;
  double beta_fast = 32;
  double beta_slow = 1;
  int64_t original_length = 0;
};

// f_i for the dim / 2 pairs, in f32 throughout.
std::vector<float> RopeFrequencies(int64_t dim, double theta, const RopeScaling& scaling);

// cos and sin of the angles of some positions, [positions, 2 * pairs] as Kernels::rotate takes
// them. The angle is the f32 product of position and frequency, rounded to f32 before the functions
// are taken.
class RopeAngles {
 public:
  RopeAngles() = default;
  explicit RopeAngles(int64_t pairs, int64_t positions = 1)
      : width_(2 * pairs), cos_(static_cast<size_t>(positions * width_)), sin_(cos_.size()) {}

  // Sets the angles with index `at`. Different ones may be set by different threads.
  void Set(const std::vector<float>& frequencies, int64_t position, int64_t at = 0);

  // Rotates the last 2 * pairs components of x[n], in place; rounds the result with b16 in
  // reference precision.
  void Rotate(const OpContext& context, float* x, int64_t n, int64_t at = 0) const {
    Apply(context, x, n, at, /*back=*/false);
  }
  void RotateBack(const OpContext& context, float* x, int64_t n, int64_t at = 0) const {
    Apply(context, x, n, at, /*back=*/true);
  }

 private:
  void Apply(const OpContext& context, float* x, int64_t n, int64_t at, bool back) const {
    context.kernels.rows.rotate(cos_.data() + at * width_, sin_.data() + at * width_, width_, back,
                                context.reference(), x + n - width_);
  }

  int64_t width_ = 0;
  std::vector<float> cos_;
  std::vector<float> sin_;
};

}  // namespace dsv
