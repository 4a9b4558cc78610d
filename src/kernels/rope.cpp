#include "kernels/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace dsv {
namespace {

// The (fractional) pair that turns `rotations` times over the original length.
double CorrectionDim(double rotations, int64_t dim, double theta, const RopeScaling& scaling) {
  const double length = static_cast<double>(scaling.original_length);
  return static_cast<double>(dim) * std::log(length / (rotations * 2 * std::numbers::pi)) /
         (2 * std::log(theta));
}

void ApplyYarn(int64_t dim, double theta, const RopeScaling& scaling, std::vector<float>& f) {
  const double low =
      std::max(std::floor(CorrectionDim(scaling.beta_fast, dim, theta, scaling)), 0.0);
  double high = std::min(std::ceil(CorrectionDim(scaling.beta_slow, dim, theta, scaling)),
                         static_cast<double>(dim - 1));
  if (low == high) high += 0.001;
  for (size_t i = 0; i < f.size(); ++i) {
    const auto ramp =
        static_cast<float>(std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0));
    const float smooth = 1.0F - ramp;
    f[i] = (f[i] / static_cast<float>(scaling.factor)) * (1.0F - smooth) + f[i] * smooth;
  }
}

}  // namespace

std::vector<float> RopeFrequencies(int64_t dim, double theta, const RopeScaling& scaling) {
  std::vector<float> f(static_cast<size_t>(dim / 2));
  for (size_t i = 0; i < f.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(dim);
    f[i] = 1.0F / std::pow(static_cast<float>(theta), exponent);
  }
  if (scaling.original_length > 0) ApplyYarn(dim, theta, scaling, f);
  return f;
}

void RopeAngles::Set(const std::vector<float>& frequencies, int64_t position, int64_t at) {
  float* cos = cos_.data() + at * width_;
  float* sin = sin_.data() + at * width_;
  for (const float frequency : frequencies) {
    const float angle = static_cast<float>(position) * frequency;
    cos[0] = cos[1] = std::cos(angle);
    sin[1] = std::sin(angle);
    sin[0] = -sin[1];
    cos += 2;
    sin += 2;
  }
}

}  // namespace dsv
