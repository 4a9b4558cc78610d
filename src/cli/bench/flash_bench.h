// Times of passes of a synthetic Flash-shaped model.
#pragma once

#include <array>
#include <cstdint>
#include <set>
#include <vector>

#include "base/result.h"
#include "cli/bench/samples.h"
#include "cli/bench/synthetic_model.h"
#include "kernels/context.h"

namespace dsv::cli {

inline constexpr size_t kOperators = std::size(kOperationTimes);

// Passes of the same kind; all times are seconds.
struct PassTimes {
  Samples pass;
  std::vector<Samples> layers;               // per layer
  Samples head;                              // what follows the layers
  std::array<double, kOperators> operators;  // seconds of all passes, by kOperationTimes
  int64_t distinct_experts = 0;              // that the passes before the measured ones chose
  int64_t experts_chosen = 0;
};

struct PassOptions {
  int64_t tokens = 1;    // of each pass
  bool restart = false;  // every pass begins where `state` is, instead of where the last one ended
  int64_t warm_up = 2;   // passes before the measured ones
  int64_t least = 8;     // measured passes
  double seconds = 2;
};

// Runs passes of random tokens that go on from `state`. Fails if a logit is not finite.
Result<PassTimes> MeasurePasses(const SyntheticModel& model, const Kernels& kernels,
                                ThreadPool& pool, const SessionState& state,
                                const PassOptions& options);

}  // namespace dsv::cli
