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

// cos and sin of the angles of one position. The angle is the f32 product of position and
// frequency, rounded to f32 before the functions are taken.
class RopeAngles {
 public:
  RopeAngles() = default;
  explicit RopeAngles(int64_t pairs) : cos_(static_cast<size_t>(pairs)), sin_(cos_.size()) {}

  void Set(const std::vector<float>& frequencies, int64_t position);

  // Rotates the last 2 * pairs components of x[n], in place; rounds the result with b16 in
  // reference precision.
  void Rotate(const OpContext& context, float* x, int64_t n) const { Apply(context, x, n, 1.0F); }
  void RotateBack(const OpContext& context, float* x, int64_t n) const {
    Apply(context, x, n, -1.0F);
  }

 private:
  void Apply(const OpContext& context, float* x, int64_t n, float direction) const;

  std::vector<float> cos_;
  std::vector<float> sin_;
};

}  // namespace dsv
