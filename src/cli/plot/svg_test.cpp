#include "cli/plot/svg.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/file.h"

namespace dsv::cli {
namespace {

std::string Plain(double value) { return fmt::format("{:g}", value); }

std::vector<std::string> Labels(const Axis& axis) {
  std::vector<std::string> labels;
  for (const AxisTick& tick : axis.ticks) labels.push_back(tick.label);
  return labels;
}

// The picture, byte for byte, as it was looked at. A difference leaves the new one in the temporary
// folder of the test, to be looked at again.
void ExpectPicture(const std::string& name, const std::string& svg) {
  const auto expected = ReadFile(DSV_TEST_DATA "/plot/" + name);
  if (expected && *expected == svg) return;
  const std::string path = ::testing::TempDir() + name;
  EXPECT_TRUE(WriteFile(path, svg));
  ADD_FAILURE() << name << " differs; see " << path;
}

TEST(Svg, LineChart) {
  LineChart chart{.title = "A <chart> & more", .subtitle = "two series"};
  chart.x = TokenAxis("length (tokens)", 8192, 65536);
  chart.y = LinearAxis("right (%)", 100, Plain);
  chart.series.push_back({.name = "bars", .points = {{8192, 90, 80, 95}, {65536, 40, 30, 55}}});
  chart.series.push_back({.name = "line",
                          .points = {{8192, 10}, {32768, 30}, {65536, 70}},
                          .style = ChartSeries::Style::kLine,
                          .colour = 1});
  chart.series.push_back({.name = "marks",
                          .points = {{16384, 20}, {32768, 25}},
                          .style = ChartSeries::Style::kMarkers,
                          .colour = 2});
  ExpectPicture("line.svg", LineChartSvg(chart));
}

TEST(Svg, HeatMap) {
  ExpectPicture(
      "heat.svg",
      HeatMapSvg({.title = "Found",
                  .subtitle = "by depth",
                  .x_label = "length (tokens)",
                  .y_label = "depth (%)",
                  .columns = {"8K", "16K", "32K"},
                  .rows = {"0-50", "50-100"},
                  .cells = {{HeatCell{1, "4/4"}, HeatCell{0.5, "2/4"}, std::nullopt},
                            {HeatCell{0.75, "3/4"}, HeatCell{0, "0/4"}, HeatCell{0.25, "1/4"}}}}));
}

TEST(Svg, TicksAreRound) {
  using Strings = std::vector<std::string>;
  EXPECT_EQ(Labels(TokenAxis("", 4096, 65536)), (Strings{"4K", "8K", "16K", "32K", "64K"}));
  EXPECT_EQ(Labels(TokenAxis("", 1, 16384)),
            (Strings{"1", "4", "16", "64", "256", "1K", "4K", "16K"}));
  EXPECT_EQ(Labels(LinearAxis("", 100, Plain)), (Strings{"0", "20", "40", "60", "80", "100"}));
  EXPECT_EQ(Labels(LinearAxis("", 7, Plain)).back(), "7");
  EXPECT_EQ(Labels(LogAxis("", 3, 70, Plain)), (Strings{"2", "5", "10", "20", "50", "100"}));
  EXPECT_EQ(Labels(LogAxis("", 5, 5, Plain)), (Strings{"5", "10"}));
  EXPECT_EQ(Labels(LogAxis("", 3, 70000, Plain)).front(), "10");
  EXPECT_EQ(Labels(LogAxis("", 1, 1e6, Plain)),
            (Strings{"1", "10", "100", "1000", "10000", "100000", "1e+06"}));
}

}  // namespace
}  // namespace dsv::cli
