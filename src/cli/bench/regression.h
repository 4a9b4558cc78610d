// Comparison of two runs of the same bench.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace dsv::cli {

struct Regression {
  std::string figure;  // "decode context=4096 threads=1 ms"
  double base = 0;     // medians, in the figure's unit
  double now = 0;
};

// Figures of both that take more than 10 % longer now, and more than a floor below which times
// mean nothing: 2 us, 0.02 ms. A figure is an object with a median under "ms" or "us".
std::vector<Regression> FindRegressions(const Json& base, const Json& now);

// Prints the result of a bench. With a file of an earlier run it adds what got slower as
// "regressions" and fails if anything did, or if the file is of another bench.
Status PrintAndCompare(Json now, const std::string& base_file);

}  // namespace dsv::cli
