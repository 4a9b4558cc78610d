#include "cli/bench/samples.h"

#include <algorithm>
#include <cmath>

namespace dsv::cli {

double Samples::Quantile(double q) const {
  if (values.empty()) return 0;
  std::vector<double> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (at - static_cast<double>(below));
}

double Samples::Spread() const {
  const double median = Median();
  return median > 0 ? (Quantile(0.75) - Quantile(0.25)) / 2 / median : 0;
}

Json AsJson(const Samples& samples, double factor) {
  return {{"median", Rounded(samples.Median() * factor)},
          {"spread", Rounded(samples.Spread(), 2)},
          {"least", Rounded(samples.Least() * factor)},
          {"greatest", Rounded(samples.Quantile(1) * factor)},
          {"samples", samples.values.size()}};
}

double Rounded(double value, int digits) {
  if (value == 0 || !std::isfinite(value)) return 0;
  const double scale = std::pow(10.0, digits - 1 - std::floor(std::log10(std::abs(value))));
  return std::round(value * scale) / scale;
}

}  // namespace dsv::cli
