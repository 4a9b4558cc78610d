#include "cli/eval/needle_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/file.h"
#include "cli/plot/svg.h"
#include "cli/progress.h"
#include "cli/token_count.h"

namespace dsv::cli {
namespace {

using Summaries = std::map<int64_t, LengthSummary>;

double Percent(double share) { return 100 * share; }

std::string Questions(const Summaries& summaries) {
  int64_t documents = 0;
  int64_t questions = 0;
  for (const auto& [length, summary] : summaries) {
    documents += summary.documents;
    questions += summary.tally.total;
  }
  return fmt::format("{} questions about {} documents", WithCommas(questions),
                     WithCommas(documents));
}

std::string AccuracyChart(const std::string& title, const Summaries& summaries) {
  LineChart chart{.title = "Facts found over length: " + title,
                  .subtitle = Questions(summaries) + "; bars are 95 % confidence (Wilson)"};
  const int64_t low = summaries.begin()->first;
  const int64_t high = std::max(summaries.rbegin()->first, 2 * low);
  chart.x = TokenAxis("length (tokens)", low, high);
  chart.y = LinearAxis("right answers (%)", 100, [](double y) { return fmt::format("{:g}", y); });
  ChartSeries series{.name = "exact match"};
  for (const auto& [length, summary] : summaries) {
    if (summary.tally.total == 0) continue;
    const Interval interval = WilsonInterval(summary.tally.right, summary.tally.total);
    series.points.push_back({static_cast<double>(length), Percent(summary.tally.Share()),
                             Percent(interval.low), Percent(interval.high)});
  }
  chart.series.push_back(std::move(series));
  return LineChartSvg(chart);
}

std::string DepthMap(const std::string& title, const Summaries& summaries) {
  HeatMap map{.title = "Facts found over depth and length: " + title,
              .subtitle = Questions(summaries) + "; cells: right answers of questions",
              .x_label = "length (tokens)",
              .y_label = "depth in the document (%)"};
  for (const auto& [length, summary] : summaries) map.columns.push_back(ShortTokens(length));
  for (int64_t bin = 0; bin < kDepthBins; ++bin) {
    map.rows.push_back(fmt::format("{:g}-{:g}", 100.0 * static_cast<double>(bin) / kDepthBins,
                                   100.0 * static_cast<double>(bin + 1) / kDepthBins));
    std::vector<std::optional<HeatCell>>& row = map.cells.emplace_back();
    for (const auto& [length, summary] : summaries) {
      std::optional<HeatCell>& cell = row.emplace_back();
      const auto tally = summary.by_depth.find(bin);
      if (tally == summary.by_depth.end()) continue;
      cell = {tally->second.Share(),
              fmt::format("{}/{}", tally->second.right, tally->second.total)};
    }
  }
  return HeatMapSvg(map);
}

}  // namespace

std::string NeedleTable(const std::vector<DocumentResult>& results) {
  std::string text = "length  documents  questions  right  accuracy  95 % interval  tokens/s\n";
  std::string repeating;
  for (const auto& [length, summary] : Summarize(results)) {
    const Tally& tally = summary.tally;
    const Interval interval = WilsonInterval(tally.right, std::max<int64_t>(tally.total, 1));
    text += fmt::format("{:>6}  {:>9}  {:>9}  {:>5}  {:>6.1f} %  {:>5.1f} - {:>5.1f}  {:>8.0f}\n",
                        ShortTokens(length), summary.documents, tally.total, tally.right,
                        Percent(tally.total > 0 ? tally.Share() : 0), Percent(interval.low),
                        Percent(interval.high),
                        static_cast<double>(summary.tokens) / std::max(summary.read_seconds, 1e-9));
    const auto is_repeated = [length = length](const DocumentResult& result) {
      return result.length == length && result.rounds > 1;
    };
    const bool repeats = std::any_of(results.begin(), results.end(), is_repeated);
    if (repeats) repeating += (repeating.empty() ? "" : ", ") + ShortTokens(length);
  }
  if (!repeating.empty()) {
    text += fmt::format("Documents longer than the haystack, whose text repeats: {}.\n", repeating);
  }
  return text;
}

Status WritePictures(const std::filesystem::path& folder, const std::string& title,
                     const std::vector<DocumentResult>& results) {
  const Summaries summaries = Summarize(results);
  if (summaries.empty()) return {};
  DSV_TRY(WriteFile(folder / "accuracy.svg", AccuracyChart(title, summaries)));
  const bool has_depths = std::any_of(summaries.begin(), summaries.end(), [](const auto& entry) {
    return !entry.second.by_depth.empty();
  });
  if (!has_depths) return {};
  return WriteFile(folder / "depth.svg", DepthMap(title, summaries));
}

}  // namespace dsv::cli
