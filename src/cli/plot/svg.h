// Charts as SVG text: small, without a dependency, readable on light and dark pages
// (prefers-color-scheme), and the same bytes for the same data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dsv::cli {

struct AxisTick {
  double value = 0;
  std::string label;
};

// Values outside of [low, high] are not to be given. A logarithmic axis needs low > 0.
struct Axis {
  std::string label{};  // with the unit
  double low = 0;
  double high = 1;
  bool is_log = false;
  std::vector<AxisTick> ticks{};
};

struct ChartPoint {
  double x = 0;
  double y = 0;
  std::optional<double> low{};  // error bar, with `high`
  std::optional<double> high{};
};

struct ChartSeries {
  enum class Style : uint8_t { kLine, kLineAndMarkers, kMarkers };
  std::string name{};
  std::vector<ChartPoint> points{};
  Style style = Style::kLineAndMarkers;
  int64_t colour = 0;  // 0 to 5; the colour chooses the shape of the marker too
};

struct LineChart {
  std::string title{};
  std::string subtitle{};
  Axis x{};
  Axis y{};
  std::vector<ChartSeries> series{};  // the legend, right of the data, has their order
};
std::string LineChartSvg(const LineChart& chart);

struct HeatCell {
  double share = 0;  // 0 to 1, the colour
  std::string label;
};

struct HeatMap {
  std::string title{};
  std::string subtitle{};
  std::string x_label{};
  std::string y_label{};
  std::vector<std::string> columns{};
  std::vector<std::string> rows{};                            // from the top
  std::vector<std::vector<std::optional<HeatCell>>> cells{};  // [rows, columns]
};
std::string HeatMapSvg(const HeatMap& map);

// A logarithmic axis of tokens with ticks at the powers of two, as 8K and 1M, and some room beside
// `low` and `high`.
Axis TokenAxis(const std::string& label, int64_t low, int64_t high);
// An axis from 0, or a logarithmic one from 1, 2 or 5 times a power of ten, not above `low`, to one
// not below `high`. `format` makes the labels.
using AxisFormat = std::string (*)(double value);
Axis LinearAxis(const std::string& label, double high, AxisFormat format);
Axis LogAxis(const std::string& label, double low, double high, AxisFormat format);

}  // namespace dsv::cli
