#include "record_charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "cli/plot/svg.h"

namespace dsv {
namespace {

using cli::Axis;
using cli::ChartSeries;
using cli::LineChart;

Axis ContextAxis(double tokens) {
  constexpr int kTicks = 8;
  Axis axis{.label = "context (tokens)", .high = tokens};
  for (int i = 0; i <= kTicks; ++i) {
    const double value = tokens * i / kTicks;
    axis.ticks.push_back({value, fmt::format("{:.0f}K", value / 1024)});
  }
  return axis;
}

std::string Number(double value) { return fmt::format("{:g}", value); }

double Highest(const std::vector<ChartSeries>& series) {
  double highest = 0;
  for (const ChartSeries& line : series) {
    for (const auto& point : line.points) highest = std::max(highest, point.y);
  }
  return highest;
}

Status Write(const std::filesystem::path& path, const std::string& title, double tokens,
             const std::string& unit, std::vector<ChartSeries> series) {
  const double highest = Highest(series);
  const LineChart chart{.title = title,
                        .subtitle = "layers and rows of V4-Flash, one head, hidden size 64",
                        .x = ContextAxis(tokens),
                        .y = cli::LinearAxis(unit, highest, Number),
                        .series = std::move(series)};
  return WriteFile(path, cli::LineChartSvg(chart));
}

}  // namespace

Status DrawRecord(const std::filesystem::path& directory) {
  constexpr auto kLine = ChartSeries::Style::kLine;
  ChartSeries time{.name = "reading", .style = kLine};
  ChartSeries anonymous{.name = "anonymous memory", .style = kLine};
  ChartSeries held{.name = "rows and tails", .style = kLine, .colour = 1};
  ChartSeries beyond{.name = "the difference", .style = kLine, .colour = 2};
  double tokens = 0;
  std::ifstream file(directory / "record.jsonl");
  for (std::string text; std::getline(file, text);) {
    DSV_ASSIGN(const Json line, ParseJson(text, "record.jsonl"));
    const auto number = [&line](const char* key) { return line.value(key, 0.0); };
    tokens = number("tokens");
    time.points.push_back({tokens, 1e3 / number("tokens_per_second")});
    anonymous.points.push_back({tokens, number("rss_anonymous") / 1e6});
    held.points.push_back({tokens, number("held") / 1e6});
    beyond.points.push_back({tokens, number("anonymous_beyond_held") / 1e6});
  }
  DSV_TRY(Write(directory / "time.svg", "Time per token", tokens, "ms per token", {time}));
  return Write(directory / "memory.svg", "Memory of the process", tokens, "MB",
               {anonymous, held, beyond});
}

}  // namespace dsv
