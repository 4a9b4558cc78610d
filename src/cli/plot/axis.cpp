// The axes of a chart: ranges and ticks that people find round.
#include <algorithm>
#include <cmath>
#include <utility>

#include "cli/plot/svg.h"
#include "cli/token_count.h"

namespace dsv::cli {

Axis TokenAxis(const std::string& label, int64_t low, int64_t high) {
  constexpr double kRoom = 1.2;
  Axis axis{.label = label,
            .low = static_cast<double>(low) / kRoom,
            .high = static_cast<double>(high) * kRoom,
            .is_log = true};
  for (int64_t tokens = 1; tokens <= high; tokens *= 2) {
    if (tokens >= low) axis.ticks.push_back({static_cast<double>(tokens), ShortTokens(tokens)});
  }
  constexpr size_t kMostTicks = 12;
  while (axis.ticks.size() > kMostTicks) {
    std::vector<AxisTick> every_other;
    for (size_t i = (axis.ticks.size() - 1) % 2; i < axis.ticks.size(); i += 2) {
      every_other.push_back(axis.ticks[i]);
    }
    axis.ticks = std::move(every_other);
  }
  return axis;
}

Axis LinearAxis(const std::string& label, double high, AxisFormat format) {
  constexpr double kFewestSteps = 4;
  const double power = std::pow(10, std::floor(std::log10(high)));
  double step = power;
  for (const double part : {0.5, 0.2, 0.1}) {
    if (high / step < kFewestSteps) step = power * part;
  }
  Axis axis{.label = label, .low = 0, .high = std::ceil(high / step) * step};
  for (int64_t i = 0; static_cast<double>(i) * step <= axis.high * 1.0001; ++i) {
    axis.ticks.push_back({static_cast<double>(i) * step, format(static_cast<double>(i) * step)});
  }
  return axis;
}

Axis LogAxis(const std::string& label, double low, double high, AxisFormat format) {
  constexpr size_t kMostTicks = 12;
  Axis axis{.label = label, .low = 0, .high = 0, .is_log = true};
  std::vector<AxisTick> decades;
  const auto is_done = [&] { return axis.ticks.size() > 1 && axis.high >= high; };
  for (double power = std::floor(std::log10(low)); !is_done(); ++power) {
    for (const double part : {1.0, 2.0, 5.0}) {
      const double value = std::round(part * std::pow(10, power) * 1e9) / 1e9;
      if (value <= low) axis.ticks.clear();
      if (is_done()) break;
      axis.ticks.push_back({value, format(value)});
      if (part == 1) decades.push_back(axis.ticks.back());
      axis.high = value;
    }
  }
  axis.low = axis.ticks.front().value;
  if (axis.ticks.size() > kMostTicks) {
    std::erase_if(decades, [&](const AxisTick& tick) { return tick.value < axis.low; });
    axis.ticks = std::move(decades);
  }
  return axis;
}

}  // namespace dsv::cli
