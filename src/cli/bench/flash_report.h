// The figures of `dsv4 bench flash` as JSON, with what they add up to for all 43 layers.
#pragma once

#include <cstdint>
#include <optional>

#include "base/json.h"
#include "cli/bench/flash_bench.h"
#include "cli/bench/machine.h"

namespace dsv::cli {

struct PassFigure {
  int64_t context = 0;  // tokens before the pass
  int64_t tokens = 1;
  const MachineRoofs* roofs = nullptr;
  PassTimes times;
};

Json DecodeReport(const SyntheticModel& model, const PassFigure& figure);
Json PrefillReport(const SyntheticModel& model, const PassFigure& figure);

// Seconds of a pass of the published model: 2 SWA, 21 CSA and 20 HCA layers and the head, each as
// long as the median of the measured layers of its kind. None if a kind was not measured.
std::optional<double> PublishedSeconds(const SyntheticModel& model, const PassTimes& times);

}  // namespace dsv::cli
