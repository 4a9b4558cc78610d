// dsv4 eval ppl: how well a model predicts long texts, by position.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "cli/eval/eval_commands.h"
#include "cli/model_flags.h"
#include "cli/plot/svg.h"
#include "cli/progress.h"
#include "cli/reply_printer.h"
#include "cli/text_input.h"
#include "cli/token_count.h"
#include "cli/token_scores.h"
#include "dsv4/dsv4.h"

namespace dsv::cli {
namespace {

struct PerplexityFlags {
  ModelFlags model;
  std::vector<std::string> files;
  std::string context;
  std::string svg;
  bool json = false;
};

// Losses of tokens, in nats.
struct LossSum {
  int64_t count = 0;
  double sum = 0;
  double squares = 0;

  void Add(double loss) {
    ++count;
    sum += loss;
    squares += loss * loss;
  }
  double Mean() const { return sum / static_cast<double>(count); }
  // Half the width of the 95 % interval of the mean, as if tokens were independent.
  double Margin() const {
    const auto n = static_cast<double>(count);
    return 1.96 * std::sqrt(std::max(squares / n - Mean() * Mean(), 0.0) / n);
  }
};

struct Losses {
  std::map<int64_t, LossSum> buckets;  // by their first position, a power of two
  LossSum all;
  int64_t bytes = 0;
};

// A text longer than `context` goes on in a new session.
Status AddText(const dsv4::Engine& engine, const PerplexityFlags& flags, int64_t context,
               const std::string& path, Losses& losses) {
  DSV_ASSIGN(const std::string text, ReadTextFile(path));
  DSV_ASSIGN(const std::vector<dsv4::TokenId> ids, engine.tokenizer()->Encode(text, false));
  if (ids.empty()) return Fail("{}: expected text, found none", path);
  losses.bytes += std::ssize(text);
  const auto most = static_cast<size_t>(context - 1);
  for (size_t begin = 0; begin < ids.size(); begin += most) {
    // BOS stands at position 0, so that the first token is predicted too.
    std::vector<dsv4::TokenId> tokens{engine.info().bos_token_id};
    const auto first = ids.begin() + static_cast<ptrdiff_t>(begin);
    tokens.insert(tokens.end(), first,
                  first + static_cast<ptrdiff_t>(std::min(most, ids.size() - begin)));
    DSV_TRY(ForEachLikelihood(
        engine, {.chunk = flags.model.chunk}, tokens, [&](size_t position, double loss) {
          losses.all.Add(loss);
          losses.buckets[static_cast<int64_t>(std::bit_floor(position))].Add(loss);
        }));
  }
  return {};
}

Json AsJson(const Losses& losses) {
  Json buckets = Json::array();
  for (const auto& [first, loss] : losses.buckets) {
    buckets.push_back({{"from", first},
                       {"to", 2 * first - 1},
                       {"tokens", loss.count},
                       {"mean_nll", loss.Mean()},
                       {"margin", loss.Margin()},
                       {"perplexity", std::exp(loss.Mean())}});
  }
  return {{"tokens", losses.all.count},
          {"bytes", losses.bytes},
          {"mean_nll", losses.all.Mean()},
          {"perplexity", std::exp(losses.all.Mean())},
          {"bits_per_byte", losses.all.sum / std::log(2.0) / static_cast<double>(losses.bytes)},
          {"buckets", buckets}};
}

void PrintTable(const Losses& losses) {
  fmt::print("{:>21}  {:>9}  {:>8}  {:>10}\n", "positions", "tokens", "mean nll", "perplexity");
  for (const auto& [first, loss] : losses.buckets) {
    fmt::print("{:>9} - {:>9}  {:>9}  {:>8.4f}  {:>10.3f}\n", WithCommas(first),
               WithCommas(2 * first - 1), WithCommas(loss.count), loss.Mean(),
               std::exp(loss.Mean()));
  }
  fmt::print("{:>21}  {:>9}  {:>8.4f}  {:>10.3f}\n", "all", WithCommas(losses.all.count),
             losses.all.Mean(), std::exp(losses.all.Mean()));
}

std::string Chart(const std::string& model, const Losses& losses) {
  LineChart chart{.title = "Perplexity over position: " + model,
                  .subtitle = fmt::format("{} tokens; points stand at the beginning of their "
                                          "bucket, bars are 95 % confidence",
                                          WithCommas(losses.all.count))};
  ChartSeries series{.name = "perplexity", .points = {}};
  double lowest = HUGE_VAL;
  double highest = 1;
  for (const auto& [first, loss] : losses.buckets) {
    const double high = std::exp(loss.Mean() + loss.Margin());
    const double low = std::exp(loss.Mean() - loss.Margin());
    series.points.push_back({static_cast<double>(first), std::exp(loss.Mean()), low, high});
    lowest = std::min(lowest, low);
    highest = std::max(highest, high);
  }
  chart.x = TokenAxis("position (tokens)", 1, std::max<int64_t>(losses.buckets.rbegin()->first, 2));
  chart.y = LogAxis("perplexity", lowest, highest, [](double y) { return fmt::format("{:g}", y); });
  chart.series.push_back(std::move(series));
  return LineChartSvg(chart);
}

Result<int64_t> ContextOf(const PerplexityFlags& flags, const dsv4::Engine& engine) {
  const int64_t longest = engine.memory().context;
  if (flags.context.empty()) return longest;
  const auto context = ParseTokens(flags.context);
  if (!context) return Fail("--context: {}", context.error().message);
  if (*context < 2 || *context > longest) {
    return Fail("--context: expected 2 to {} tokens (the longest session), found {}", longest,
                *context);
  }
  return *context;
}

Status Run(const PerplexityFlags& flags) {
  DSV_ASSIGN(const dsv4::Engine engine, OpenEngine(flags.model));
  if (engine.tokenizer() == nullptr) {
    return Fail("{}: expected a tokenizer.json to score a text, found none", flags.model.directory);
  }
  DSV_ASSIGN(const int64_t context, ContextOf(flags, engine));
  Losses losses;
  for (const std::string& path : flags.files) {
    DSV_TRY(AddText(engine, flags, context, path, losses));
  }
  if (!flags.svg.empty()) {
    DSV_TRY(WriteFile(flags.svg, Chart(ModelName(flags.model), losses)));
  }
  if (flags.json) {
    fmt::print("{}\n", AsJson(losses).dump());
  } else {
    PrintTable(losses);
  }
  return CheckStandardOutput();
}

}  // namespace

void AddPerplexityCommand(CLI::App& eval, Action& action) {
  CLI::App* command = eval.add_subcommand("ppl", "Perplexity of texts by position");
  const auto flags = std::make_shared<PerplexityFlags>();
  AddModelFlags(*command, flags->model);
  command->add_option("files", flags->files, "Texts, each in a session of its own")
      ->required()
      ->type_name("FILE...");
  command
      ->add_option("--context", flags->context,
                   "Tokens of a session (8192, 8K, 1M), after which a text goes on in a new one; "
                   "default: the longest")
      ->type_name("TOKENS");
  command->add_option("--svg", flags->svg, "Picture to write")->type_name("FILE");
  command->add_flag("--json", flags->json, "Print one JSON object and no table");
  command->callback([&action, flags] { action = [flags] { return Run(*flags); }; });
}

}  // namespace dsv::cli
