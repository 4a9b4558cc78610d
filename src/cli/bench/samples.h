// Repeated measurements and what is reported of them.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "base/json.h"

namespace dsv::cli {

class Stopwatch {
 public:
  double Seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

struct Samples {
  std::vector<double> values;

  double Median() const { return Quantile(0.5); }
  double Quantile(double q) const;  // interpolated; 0 of no values
  double Least() const { return Quantile(0); }
  // Half of the values lie within this share of the median.
  double Spread() const;
};

// {"median", "spread", "least", "greatest", "samples"}, each value times `factor`.
Json AsJson(const Samples& samples, double factor = 1);

// `value` with as many digits as a measurement has.
double Rounded(double value, int digits = 4);

// Calls run() until `seconds` have passed and it was called `least` times; the seconds of each.
template <class Run>
Samples Repeat(double seconds, int64_t least, const Run& run) {
  Samples samples;
  const Stopwatch all;
  while (std::ssize(samples.values) < least || all.Seconds() < seconds) {
    const Stopwatch one;
    run();
    samples.values.push_back(one.Seconds());
  }
  return samples;
}

}  // namespace dsv::cli
