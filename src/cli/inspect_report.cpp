#include "cli/inspect_report.h"

#include <fmt/format.h>

#include <array>
#include <map>
#include <string_view>
#include <utility>

#include "checkpoint/model_name.h"

namespace dsv::cli {
namespace {

constexpr int64_t kMaxProblems = 100;
constexpr std::array<int64_t, 7> kContexts{1 << 12, 1 << 15, 1 << 16, 1 << 17,
                                           1 << 18, 1 << 19, 1 << 20};

void CountTensors(const Checkpoint& checkpoint, InspectReport& report) {
  std::map<std::string, InspectReport::DTypeRow> rows;
  const auto add = [&](const std::string& dtype, int64_t bytes) {
    InspectReport::DTypeRow& row = rows[dtype];
    row.dtype = dtype;
    ++row.tensors;
    row.bytes += bytes;
    ++report.tensors;
    report.bytes += bytes;
  };
  for (const SafetensorsFile& shard : checkpoint.shards()) {
    for (const NamedTensor& tensor : shard.tensors()) {
      add(std::string(DTypeName(tensor.view.dtype)), tensor.view.Bytes());
    }
    for (const UnsupportedTensor& tensor : shard.unsupported()) add(tensor.dtype, tensor.bytes);
  }
  for (auto& [dtype, row] : rows) report.dtypes.push_back(std::move(row));
  report.shards = static_cast<int64_t>(checkpoint.shards().size());
  report.declared_bytes = checkpoint.declared_bytes().value_or(report.bytes);
}

void CountContexts(const ModelConfig& config, InspectReport& report) {
  for (const int64_t tokens : kContexts) {
    report.contexts.push_back(
        {tokens, KvBytes(config, KvFormat::kPacked, tokens), V32KvBytes(KvFormat::kPacked, tokens),
         CountFlops(config, report.parameters.active, tokens), CountV32Flops(tokens)});
  }
}

// How often the `period` layers at `at` stand there one after the other.
size_t Repetitions(const std::vector<LayerKind>& layers, size_t at, size_t period) {
  size_t end = at + period;
  while (end < layers.size() && layers[end] == layers[end - period]) ++end;
  return (end - at) / period;
}

}  // namespace

std::string LayerPattern(const std::vector<LayerKind>& layers) {
  constexpr size_t kLongestPeriod = 4;
  std::vector<std::string> runs;
  for (size_t at = 0; at < layers.size();) {
    size_t period = 1;
    size_t count = Repetitions(layers, at, 1);
    for (size_t p = 2; p <= kLongestPeriod && at + p <= layers.size() && count < 2; ++p) {
      if (const size_t repeats = Repetitions(layers, at, p); repeats >= 2) {
        period = p;
        count = repeats;
      }
    }
    std::vector<std::string_view> names;
    for (size_t i = at; i < at + period; ++i) names.push_back(LayerKindName(layers[i]));
    std::string run = fmt::format("{}", fmt::join(names, " "));
    if (period > 1) run = fmt::format("({})", run);
    if (count > 1) run += fmt::format(" x{}", count);
    runs.push_back(std::move(run));
    at += period * count;
  }
  return fmt::format("{}", fmt::join(runs, ", "));
}

InspectReport MakeInspectReport(const ModelConfig& config, const Checkpoint& checkpoint) {
  InspectReport report;
  report.directory = checkpoint.directory().string();
  report.config = config;
  report.pattern = LayerPattern(config.layers);
  report.draft = DetectDraft(config, checkpoint);
  report.unknown_keys = config.unknown_keys;
  CountTensors(checkpoint, report);
  const auto weights = BindWeights(config, checkpoint);
  report.name = ModelName(config, weights ? *weights : ModelWeights());
  if (weights) {
    report.unknown_tensors = weights->unknown_tensors;
  } else {
    WeightsReport check = CheckWeights(config, checkpoint, kMaxProblems);
    report.problems = std::move(check.problems);
    report.unknown_tensors = std::move(check.unknown_tensors);
  }
  report.parameters = CountParameters(config, report.draft);
  report.traffic = CountWeightTraffic(config, checkpoint);
  CountContexts(config, report);
  return report;
}

}  // namespace dsv::cli
