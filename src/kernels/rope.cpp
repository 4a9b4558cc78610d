#include "kernels/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tensor/number_formats.h"

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

void RopeAngles::Set(const std::vector<float>& frequencies, int64_t position) {
  for (size_t i = 0; i < cos_.size(); ++i) {
    const float angle = static_cast<float>(position) * frequencies[i];
    cos_[i] = std::cos(angle);
    sin_[i] = std::sin(angle);
  }
}

void RopeAngles::Apply(const OpContext& context, float* x, int64_t n, float direction) const {
  float* pair = x + n - 2 * static_cast<int64_t>(cos_.size());
  for (size_t i = 0; i < cos_.size(); ++i, pair += 2) {
    const float a = pair[0];
    const float b = pair[1];
    const float sin = direction * sin_[i];
    pair[0] = a * cos_[i] - b * sin;
    pair[1] = a * sin + b * cos_[i];
    if (!context.reference()) continue;
    pair[0] = RoundBf16(pair[0]);
    pair[1] = RoundBf16(pair[1]);
  }
}

}  // namespace dsv
