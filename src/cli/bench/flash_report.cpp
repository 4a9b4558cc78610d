#include "cli/bench/flash_report.h"

#include <string>

#include "checkpoint/published_models.h"
#include "cli/bench/flash_costs.h"

namespace dsv::cli {
namespace {

constexpr LayerKind kKinds[] = {LayerKind::kSwa, LayerKind::kCsa, LayerKind::kHca};

// The times of all layers of a kind.
Samples LayersOf(const SyntheticModel& model, const PassTimes& times, LayerKind kind) {
  Samples samples;
  for (size_t i = 0; i < times.layers.size(); ++i) {
    if (model.config().layers[i] != kind) continue;
    const std::vector<double>& values = times.layers[i].values;
    samples.values.insert(samples.values.end(), values.begin(), values.end());
  }
  return samples;
}

int64_t FirstOf(const ModelConfig& config, LayerKind kind) {
  int64_t layer = 0;
  while (config.layers[static_cast<size_t>(layer)] != kind) ++layer;
  return layer;
}

void Add(const OperatorAmounts& amounts, OperatorAmounts& sum) {
  for (const auto& [name, amount] : amounts) sum[name] += amount;
}

double PerCent(double part, double whole) { return whole > 0 ? Rounded(100 * part / whole, 3) : 0; }

// Bytes over time beside the bandwidth that was measured with as many threads.
void AddRate(const PassFigure& figure, int64_t bytes, double seconds, Json& json) {
  const double rate = static_cast<double>(bytes) / seconds;
  json["bytes"] = bytes;
  json["gb_s"] = Rounded(rate * 1e-9);
  json["read_roof_percent"] = PerCent(rate, figure.roofs->ReadRate());
}

Json DecodeLayer(const SyntheticModel& model, const PassFigure& figure, LayerKind kind) {
  const ModelConfig& config = model.config();
  const Samples samples = LayersOf(model, figure.times, kind);
  Json json{{"kind", LayerKindName(kind)}, {"ms", AsJson(samples, 1e3)}};
  const int64_t bytes = Sum(LayerWeightBytes(config, model.checkpoint(), FirstOf(config, kind))) +
                        Sum(RowBytes(config, kind, figure.context));
  AddRate(figure, bytes, samples.Median(), json);
  return json;
}

// Shares of the time by operator; the time of a median pass in that proportion.
Json Operators(const PassFigure& figure, const OperatorAmounts* bytes) {
  double all = 0;
  for (const double seconds : figure.times.operators) all += seconds;
  Json json = Json::object();
  for (size_t i = 0; i < kOperators; ++i) {
    const double share = figure.times.operators[i] / all;
    const double seconds = share * figure.times.pass.Median();
    Json& line = json[kOperationTimes[i].name];
    line = {{"percent", Rounded(100 * share, 3)}, {"ms", Rounded(seconds * 1e3)}};
    if (bytes == nullptr || seconds <= 0) continue;
    const auto found = bytes->find(kOperationTimes[i].name);
    if (found != bytes->end()) AddRate(figure, found->second, seconds, line);
  }
  return json;
}

// Hyper-connections, norms, router, quantisers and what no operator counts, of the layers' time.
double RestPercent(const PassTimes& times) {
  double all = 0;
  double rest = 0;
  for (size_t i = 0; i < kOperators; ++i) {
    const std::string name = kOperationTimes[i].name;
    if (name == "head") continue;
    all += times.operators[i];
    const bool is_rest = name == "hyper_connections" || name == "norms" || name == "router" ||
                         name == "quantizers" || name == "other";
    if (is_rest) rest += times.operators[i];
  }
  return PerCent(rest, all);
}

Json Published(const SyntheticModel& model, const PassFigure& figure) {
  const auto seconds = PublishedSeconds(model, figure.times);
  if (!seconds) return nullptr;
  const PassTimes& times = figure.times;
  Json json{{"formula", "2 * swa + 21 * csa + 20 * hca + head"}};
  for (const LayerKind kind : kKinds) {
    json[std::string(LayerKindName(kind)) + "_ms"] =
        Rounded(LayersOf(model, times, kind).Median() * 1e3);
  }
  json["head_ms"] = Rounded(times.head.Median() * 1e3);
  json["ms"] = Rounded(*seconds * 1e3);
  json["tokens_s"] = Rounded(static_cast<double>(figure.tokens) / *seconds);
  return json;
}

}  // namespace

std::optional<double> PublishedSeconds(const SyntheticModel& model, const PassTimes& times) {
  double seconds = times.head.Median();
  for (const LayerKind kind : kKinds) {
    const Samples samples = LayersOf(model, times, kind);
    if (samples.values.empty()) return std::nullopt;
    int64_t count = 0;
    for (const LayerKind layer : FlashConfig().layers) count += layer == kind ? 1 : 0;
    seconds += static_cast<double>(count) * samples.Median();
  }
  return seconds;
}

Json DecodeReport(const SyntheticModel& model, const PassFigure& figure) {
  const ModelConfig& config = model.config();
  const PassTimes& times = figure.times;
  OperatorAmounts bytes;
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    Add(LayerWeightBytes(config, model.checkpoint(), layer), bytes);
    Add(RowBytes(config, config.layers[static_cast<size_t>(layer)], figure.context), bytes);
  }
  const int64_t layer_bytes = Sum(bytes);
  const OperatorAmounts head = HeadWeightBytes(model.checkpoint());
  Add(head, bytes);
  Samples layers;  // all of a pass together
  for (size_t i = 0; i < times.pass.values.size(); ++i) {
    layers.values.push_back(times.pass.values[i] - times.head.values[i]);
  }
  Json json{{"context", figure.context},
            {"threads", figure.roofs->threads},
            {"read_roof_gb_s", AsJson(figure.roofs->read, 1e-9)},
            {"ms", AsJson(times.pass, 1e3)}};
  AddRate(figure, Sum(bytes), times.pass.Median(), json);
  json["layers"] = {{"ms", AsJson(layers, 1e3)}};
  AddRate(figure, layer_bytes, layers.Median(), json["layers"]);
  json["head"] = {{"ms", AsJson(times.head, 1e3)}};
  AddRate(figure, Sum(head), times.head.Median(), json["head"]);
  json["rest_percent_of_layers"] = RestPercent(times);
  for (const LayerKind kind : kKinds) {
    if (LayersOf(model, times, kind).values.empty()) continue;
    json["layer_kinds"].push_back(DecodeLayer(model, figure, kind));
  }
  json["operators"] = Operators(figure, &bytes);
  json["experts"] = {{"chosen", times.experts_chosen}, {"distinct", times.distinct_experts}};
  json["published_model"] = Published(model, figure);
  return json;
}

Json PrefillReport(const SyntheticModel& model, const PassFigure& figure) {
  const ModelConfig& config = model.config();
  MultiplyAdds work;
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const MultiplyAdds own =
        LayerMultiplyAdds(config, layer, figure.context, figure.context + figure.tokens);
    work.linear += own.linear;
    work.attention += own.attention;
    work.index_scan += own.index_scan;
  }
  const PassTimes& times = figure.times;
  const double seconds = times.pass.Median() - times.head.Median();
  const double bf16 = BestRate(figure.roofs->bf16);
  const double roof = bf16 > 0 ? bf16 : BestRate(figure.roofs->fp32);
  const auto rate = [&](int64_t amount) { return 2 * static_cast<double>(amount) / seconds; };
  Json json{
      {"context", figure.context},
      {"tokens", figure.tokens},
      {"threads", figure.roofs->threads},
      {"ms", AsJson(times.pass, 1e3)},
      {"tokens_s", Rounded(static_cast<double>(figure.tokens) / times.pass.Median())},
      {"multiply_adds",
       {{"linear", work.linear}, {"attention", work.attention}, {"index_scan", work.index_scan}}},
      {"layers_gflop_s", Rounded(1e-9 * rate(work.linear + work.attention))},
      {"bf16_roof_percent",
       {{"linear_and_attention", PerCent(rate(work.linear + work.attention), roof)},
        {"linear", PerCent(rate(work.linear), roof)}}}};
  for (const ComputeRoof& one : figure.roofs->bf16) {
    json["bf16_roof_percent"][std::string("of_") + one.isa->name] =
        PerCent(rate(work.linear + work.attention), one.rate.Median());
  }
  for (const LayerKind kind : kKinds) {
    const Samples samples = LayersOf(model, times, kind);
    if (samples.values.empty()) continue;
    json["layer_kinds"].push_back({{"kind", LayerKindName(kind)}, {"ms", AsJson(samples, 1e3)}});
  }
  json["head_ms"] = Rounded(times.head.Median() * 1e3);
  json["operators"] = Operators(figure, nullptr);
  json["published_model"] = Published(model, figure);
  return json;
}

}  // namespace dsv::cli
