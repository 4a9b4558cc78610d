#include "cli/plot/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <string_view>

namespace dsv::cli {
namespace {

constexpr double kWidth = 820;
constexpr double kTop = 64;
constexpr double kLeft = 96;
constexpr double kPlotWidth = 510;
constexpr double kPlotHeight = 320;
constexpr double kLegend = kLeft + kPlotWidth + 24;
constexpr int64_t kHeatSteps = 10;

// Six hues that stay apart for people who do not see red or green, on white and on black.
constexpr std::array<std::string_view, 6> kLight{"#2a78d6", "#d9570f", "#128a60",
                                                 "#a87000", "#5a45c0", "#c2417c"};
constexpr std::array<std::string_view, 6> kDark{"#5ba0f2", "#f08a4b", "#35b98a",
                                                "#d8a23a", "#a79bf5", "#e87fae"};

struct Rgb {
  double r, g, b;
};

std::string Mix(const Rgb& from, const Rgb& to, double share) {
  const auto part = [&](double a, double b) { return static_cast<int>(a + (b - a) * share + 0.5); };
  return fmt::format("#{:02x}{:02x}{:02x}", part(from.r, to.r), part(from.g, to.g),
                     part(from.b, to.b));
}

std::string Escape(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '&':
        escaped += "&amp;";
        break;
      default:
        escaped += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    }
  }
  return escaped;
}

// The rules of one colour scheme.
std::string Colours(bool is_dark) {
  std::string css = is_dark ? ".bg{fill:#16181c}.t{fill:#e8e8e6}.m{fill:#a9aaa6}"
                              ".g{stroke:#34373c}.x{stroke:#8a8c88}"
                            : ".bg{fill:#ffffff}.t{fill:#1b1c1e}.m{fill:#5c5e5a}"
                              ".g{stroke:#e3e4e1}.x{stroke:#8a8c88}";
  const auto& colours = is_dark ? kDark : kLight;
  for (size_t i = 0; i < colours.size(); ++i) {
    css += fmt::format(".s{0}{{stroke:{1}}}.f{0}{{fill:{1}}}", i, colours[i]);
  }
  const Rgb none = is_dark ? Rgb{38, 42, 50} : Rgb{238, 243, 250};
  const Rgb full = is_dark ? Rgb{122, 180, 255} : Rgb{18, 74, 150};
  for (int64_t i = 0; i <= kHeatSteps; ++i) {
    const double share = static_cast<double>(i) / static_cast<double>(kHeatSteps);
    const bool is_strong = share > 0.5;
    css += fmt::format(".h{0}{{fill:{1}}}.l{0}{{fill:{2}}}", i, Mix(none, full, share),
                       is_strong == is_dark ? "#10141a" : "#ffffff");
  }
  return css;
}

class Svg {
 public:
  Svg(double height, const std::string& title, const std::string& subtitle) {
    Add("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
        "width=\"{0:.0f}\" height=\"{1:.0f}\" font-family=\"sans-serif\" font-size=\"13\">\n",
        kWidth, height);
    Add("<title>{}</title>\n<style>{}\n@media (prefers-color-scheme:dark){{{}}}</style>\n",
        Escape(title), Colours(false), Colours(true));
    Add("<rect class=\"bg\" width=\"{:.0f}\" height=\"{:.0f}\"/>\n", kWidth, height);
    Text(24, 28, "start", "t", title, " font-size=\"17\" font-weight=\"bold\"");
    Text(24, 48, "start", "m", subtitle);
  }

  template <class... Args>
  void Add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
  }

  void Text(double x, double y, std::string_view anchor, std::string_view css,
            std::string_view text, std::string_view more = "") {
    Add("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>\n", css, x, y,
        anchor, more, Escape(text));
  }

  void Line(std::string_view css, double x1, double y1, double x2, double y2, double width = 1) {
    Add("<path class=\"{}\" d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}\" stroke-width=\"{}\"/>\n", css, x1,
        y1, x2, y2, width);
  }

  void AxisLabels(std::string_view x_label, std::string_view y_label, double height) {
    Text(kLeft + kPlotWidth / 2, kTop + height + 42, "middle", "t", x_label);
    const double y = kTop + height / 2;
    Text(24, y, "middle", "t", y_label, fmt::format(" transform=\"rotate(-90 24 {:.1f})\"", y));
  }

  void Marker(int64_t colour, double x, double y) {
    constexpr double kSize = 4.5;
    const double s = kSize;
    switch (colour % 4) {
      case 0:
        Add("<circle class=\"f{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"/>\n", colour, x, y, s);
        return;
      case 1:
        Add("<rect class=\"f{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{}\" height=\"{}\"/>\n", colour,
            x - s, y - s, 2 * s, 2 * s);
        return;
      case 2:
        Add("<path class=\"f{}\" d=\"M{:.1f} {:.1f}l{} {}h{}z\"/>\n", colour, x, y - s - 1, s + 1,
            2 * s + 1, -2 * s - 2);
        return;
      default:
        Add("<path class=\"f{}\" d=\"M{:.1f} {:.1f}l{} {}l{} {}l{} {}z\"/>\n", colour, x, y - s - 1,
            s + 1, s + 1, -s - 1, s + 1, -s - 1, -s - 1);
    }
  }

  std::string Finish() { return std::move(text_) + "</svg>\n"; }

 private:
  std::string text_;
};

double Scaled(const Axis& axis, double value) {
  if (!axis.is_log) return (value - axis.low) / (axis.high - axis.low);
  return std::log2(value / axis.low) / std::log2(axis.high / axis.low);
}

class Plot {
 public:
  explicit Plot(const LineChart& chart)
      : chart_(chart), svg_(kTop + kPlotHeight + 60, chart.title, chart.subtitle) {}

  std::string Draw() {
    for (const AxisTick& tick : chart_.y.ticks) {
      svg_.Line("g", kLeft, Y(tick.value), kLeft + kPlotWidth, Y(tick.value));
      svg_.Text(kLeft - 8, Y(tick.value) + 4, "end", "m", tick.label);
    }
    for (const AxisTick& tick : chart_.x.ticks) {
      svg_.Line("x", X(tick.value), kTop + kPlotHeight, X(tick.value), kTop + kPlotHeight + 5);
      svg_.Text(X(tick.value), kTop + kPlotHeight + 20, "middle", "m", tick.label);
    }
    svg_.Line("x", kLeft, kTop + kPlotHeight, kLeft + kPlotWidth, kTop + kPlotHeight);
    svg_.AxisLabels(chart_.x.label, chart_.y.label, kPlotHeight);
    for (const ChartSeries& series : chart_.series) DrawSeries(series);
    for (size_t i = 0; i < chart_.series.size(); ++i) {
      DrawLegend(chart_.series[i], kTop + 10 + 24 * static_cast<double>(i));
    }
    return svg_.Finish();
  }

 private:
  double X(double value) const { return kLeft + kPlotWidth * Scaled(chart_.x, value); }
  double Y(double value) const { return kTop + kPlotHeight * (1 - Scaled(chart_.y, value)); }

  void DrawSeries(const ChartSeries& series) {
    if (series.style != ChartSeries::Style::kMarkers) {
      svg_.Add("<path class=\"s{}\" fill=\"none\" stroke-width=\"2\" d=\"", series.colour);
      for (const ChartPoint& point : series.points) {
        svg_.Add("{}{:.1f} {:.1f}", &point == series.points.data() ? 'M' : 'L', X(point.x),
                 Y(point.y));
      }
      svg_.Add("\"/>\n");
    }
    for (const ChartPoint& point : series.points) {
      if (point.low && point.high) DrawBar(series.colour, point);
      if (series.style != ChartSeries::Style::kLine) {
        svg_.Marker(series.colour, X(point.x), Y(point.y));
      }
    }
  }

  void DrawBar(int64_t colour, const ChartPoint& point) {
    constexpr double kCap = 5;
    const std::string css = fmt::format("s{}", colour);
    const double x = X(point.x);
    svg_.Line(css, x, Y(*point.low), x, Y(*point.high), 1.5);
    for (const double y : {Y(*point.low), Y(*point.high)}) {
      svg_.Line(css, x - kCap, y, x + kCap, y, 1.5);
    }
  }

  void DrawLegend(const ChartSeries& series, double y) {
    if (series.style != ChartSeries::Style::kMarkers) {
      svg_.Line(fmt::format("s{}", series.colour), kLegend, y, kLegend + 24, y, 2);
    }
    if (series.style != ChartSeries::Style::kLine) svg_.Marker(series.colour, kLegend + 12, y);
    svg_.Text(kLegend + 32, y + 4, "start", "t", series.name);
  }

  const LineChart& chart_;
  Svg svg_;
};

int64_t HeatStep(double share) {
  return static_cast<int64_t>(std::clamp(share, 0.0, 1.0) * static_cast<double>(kHeatSteps) + 0.5);
}

void DrawHeatCell(Svg& svg, const HeatCell& cell, double x, double y, double width, double height) {
  svg.Add(
      "<rect class=\"h{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" "
      "rx=\"2\"/>\n",
      HeatStep(cell.share), x + 1, y + 1, width - 2, height - 2);
  svg.Text(x + width / 2, y + height / 2 + 4, "middle", fmt::format("l{}", HeatStep(cell.share)),
           cell.label);
}

}  // namespace

std::string LineChartSvg(const LineChart& chart) { return Plot(chart).Draw(); }

std::string HeatMapSvg(const HeatMap& map) {
  constexpr double kRow = 34;
  const double height = kRow * static_cast<double>(map.rows.size());
  const double width = kPlotWidth / static_cast<double>(map.columns.size());
  Svg svg(kTop + std::max(height, 6 * kRow) + 60, map.title, map.subtitle);
  for (size_t r = 0; r < map.rows.size(); ++r) {
    const double y = kTop + kRow * static_cast<double>(r);
    svg.Text(kLeft - 8, y + kRow / 2 + 4, "end", "m", map.rows[r]);
    for (size_t c = 0; c < map.columns.size(); ++c) {
      const double x = kLeft + width * static_cast<double>(c);
      if (map.cells[r][c]) DrawHeatCell(svg, *map.cells[r][c], x, y, width, kRow);
    }
  }
  for (size_t c = 0; c < map.columns.size(); ++c) {
    svg.Text(kLeft + width * (static_cast<double>(c) + 0.5), kTop + height + 20, "middle", "m",
             map.columns[c]);
  }
  svg.AxisLabels(map.x_label, map.y_label, height);
  svg.Text(kLegend, kTop + 14, "start", "t", "right answers");
  for (int64_t i = 0; i <= 4; ++i) {
    const double share = 1 - static_cast<double>(i) / 4;
    const HeatCell cell{share, fmt::format("{:.0f} %", 100 * share)};
    DrawHeatCell(svg, cell, kLegend, kTop + 24 + kRow * static_cast<double>(i), 64, kRow);
  }
  return svg.Finish();
}

}  // namespace dsv::cli
