// dsv4 figures: memory and work over the context, as formulas give them and as this engine does.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "checkpoint/accounting.h"
#include "checkpoint/published_models.h"
#include "cli/commands.h"
#include "cli/figures/figures_data.h"
#include "cli/plot/svg.h"
#include "cli/progress.h"
#include "cli/reply_printer.h"
#include "cli/token_count.h"

namespace dsv::cli {
namespace {

struct FiguresFlags {
  ModelFlags model;
  std::string out;
  std::string context;
  double budget_gb = 1;
};

// A picture and its numbers.
struct Figure {
  std::string name;  // of the files
  std::string title;
  std::string subtitle;
  std::string x_label;
  std::string y_label;
  AxisFormat format;
  std::vector<FigureSeries> series;
  std::vector<int64_t> colours;  // of each of `series`
};

std::string FlopLabel(double flops) {
  if (flops >= 1e12) return fmt::format("{:g} T", flops / 1e12);
  if (flops >= 1e9) return fmt::format("{:g} G", flops / 1e9);
  if (flops >= 1e6) return fmt::format("{:g} M", flops / 1e6);
  return fmt::format("{:g} k", flops / 1e3);
}

std::string ByteLabel(double bytes) {
  if (bytes >= 1e9) return fmt::format("{:g} GB", bytes / 1e9);
  if (bytes >= 1e6) return fmt::format("{:g} MB", bytes / 1e6);
  return fmt::format("{:g} kB", bytes / 1e3);
}

std::string Csv(const Figure& figure) {
  std::string text = "series,tokens,value\n";
  for (const FigureSeries& series : figure.series) {
    for (const FigurePoint& point : series.points) {
      text += fmt::format("\"{}\",{},{:.0f}\n", series.name, point.tokens, point.value);
    }
  }
  return text;
}

std::string Svg(const Figure& figure) {
  LineChart chart{.title = figure.title, .subtitle = figure.subtitle};
  double low = HUGE_VAL;
  double high = 0;
  int64_t last = 2 * FigureContexts().front();
  for (size_t i = 0; i < figure.series.size(); ++i) {
    const FigureSeries& series = figure.series[i];
    if (series.points.empty()) continue;
    ChartSeries& drawn = chart.series.emplace_back();
    drawn.name = series.name;
    drawn.colour = figure.colours[i];
    drawn.style = series.is_measured ? ChartSeries::Style::kMarkers : ChartSeries::Style::kLine;
    for (const FigurePoint& point : series.points) {
      if (point.value <= 0) continue;  // has no place on a logarithmic axis
      drawn.points.push_back({static_cast<double>(point.tokens), point.value});
      low = std::min(low, point.value);
      high = std::max(high, point.value);
      last = std::max(last, point.tokens);
    }
  }
  chart.x = TokenAxis(figure.x_label, FigureContexts().front(), last);
  chart.y = LogAxis(figure.y_label, low, high, figure.format);
  return LineChartSvg(chart);
}

Status Write(const FiguresFlags& flags, const Figure& figure) {
  const std::filesystem::path folder(flags.out);
  DSV_TRY(WriteFile(folder / (figure.name + ".svg"), Svg(figure)));
  DSV_TRY(WriteFile(folder / (figure.name + ".csv"), Csv(figure)));
  fmt::print("{}\n{}\n", (folder / (figure.name + ".svg")).string(),
             (folder / (figure.name + ".csv")).string());
  return {};
}

template <class Value>
FigureSeries FormulaSeries(std::string name, Value&& value) {
  FigureSeries series{std::move(name), false, {}};
  for (const int64_t tokens : FigureContexts()) {
    series.points.push_back({tokens, static_cast<double>(value(tokens))});
  }
  return series;
}

std::string Shares(const std::vector<FigureSeries>& series) {
  const auto last = [&](size_t i) { return series[i].points.back().value; };
  return fmt::format("at 1M tokens V4-Pro takes {:.1f} % and V4-Flash {:.1f} % of V3.2",
                     100 * last(1) / last(0), 100 * last(2) / last(0));
}

Figure CacheFigure(int64_t budget) {
  constexpr KvFormat kFormat = KvFormat::kPacked;
  Figure figure{.name = "kv",
                .title = "Cache over context",
                .subtitle = {},
                .x_label = "context (tokens)",
                .y_label = "cache of one session (bytes)",
                .format = ByteLabel,
                .series = {},
                .colours = {0, 1, 2, 1, 2}};
  figure.series.push_back(
      FormulaSeries("V3.2", [](int64_t tokens) { return V32KvBytes(kFormat, tokens); }));
  const ModelConfig pro = ProConfig();
  const ModelConfig flash = FlashConfig();
  figure.series.push_back(
      FormulaSeries("V4-Pro", [&](int64_t tokens) { return KvBytes(pro, kFormat, tokens); }));
  figure.series.push_back(
      FormulaSeries("V4-Flash", [&](int64_t tokens) { return KvBytes(flash, kFormat, tokens); }));
  figure.series.push_back({"V4-Pro, held", true, HeldBytes(pro, budget)});
  figure.series.push_back({"V4-Flash, held", true, HeldBytes(flash, budget)});
  figure.subtitle =
      "Lines are formulas, marks what this engine allocates; " + Shares(figure.series);
  return figure;
}

Figure WorkFigure() {
  Figure figure{.name = "flops",
                .title = "Work over position",
                .subtitle = {},
                .x_label = "position (tokens)",
                .y_label = "work for one token (FLOP)",
                .format = FlopLabel,
                .series = {},
                .colours = {0, 1, 2}};
  figure.series.push_back(
      FormulaSeries("V3.2", [](int64_t tokens) { return CountV32Flops(tokens).Total(); }));
  for (const auto& [name, config] :
       {std::pair{"V4-Pro", ProConfig()}, std::pair{"V4-Flash", FlashConfig()}}) {
    const int64_t active = CountParameters(config, DraftKind::kNone).active;
    const auto flops = [&config = config, active](int64_t tokens) {
      return CountFlops(config, active, tokens).Total();
    };
    figure.series.push_back(FormulaSeries(name, flops));
  }
  figure.subtitle = "A multiply-add counts 2; " + Shares(figure.series);
  return figure;
}

Status WriteModelFigures(const FiguresFlags& flags) {
  int64_t context = 0;
  if (!flags.context.empty()) {
    const auto parsed = ParseTokens(flags.context);
    if (!parsed) return Fail("--context: {}", parsed.error().message);
    context = *parsed;
  }
  DSV_ASSIGN(ModelMeasurement measured, MeasureModel(flags.model, context));
  const std::string model = ModelName(flags.model);
  DSV_TRY(Write(flags, {.name = "model-kv",
                        .title = "Cache over context: " + model,
                        .subtitle = "The line is the formula, marks are what a session holds",
                        .x_label = "context (tokens)",
                        .y_label = "cache of one session (bytes)",
                        .format = ByteLabel,
                        .series = std::move(measured.bytes),
                        .colours = {0, 0}}));
  return Write(flags, {.name = "model-flops",
                       .title = "Work over position: " + model,
                       .subtitle = "Lines are formulas, marks what this engine counted; a "
                                   "multiply-add counts 2",
                       .x_label = "position (tokens)",
                       .y_label = "work for one token (FLOP)",
                       .format = FlopLabel,
                       .series = std::move(measured.flops),
                       .colours = {0, 0, 1, 1, 2, 2, 3, 3}});
}

Status Run(const FiguresFlags& flags) {
  std::error_code error;
  std::filesystem::create_directories(flags.out, error);
  if (error) return Fail("{}: cannot create: {}", flags.out, error.message());
  DSV_TRY(Write(flags, CacheFigure(static_cast<int64_t>(flags.budget_gb * 1e9))));
  DSV_TRY(Write(flags, WorkFigure()));
  if (!flags.model.directory.empty()) DSV_TRY(WriteModelFigures(flags));
  return CheckStandardOutput();
}

}  // namespace

void AddFiguresCommand(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand(
      "figures", "Draws memory and work over the context: V3.2, V4-Pro, V4-Flash, this engine");
  const auto flags = std::make_shared<FiguresFlags>();
  AddModelFlags(*command, flags->model);
  command->get_option("model")->required(false)->description(
      "Checkpoint directory, to be measured too");
  command->add_option("--out", flags->out, "Folder for SVG and CSV files")
      ->required()
      ->type_name("DIR");
  command
      ->add_option("--context", flags->context,
                   "Tokens to read with the checkpoint (64K, 1M); default: 64K, or the longest "
                   "session if that is less")
      ->type_name("TOKENS");
  command
      ->add_option("--budget", flags->budget_gb,
                   "GB of memory to allocate caches of V4-Pro and V4-Flash in, one after the "
                   "other; 1M tokens take 5.3")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  command->callback([&action, flags] { action = [flags] { return Run(*flags); }; });
}

}  // namespace dsv::cli
