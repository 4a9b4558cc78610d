#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "cli/inspect_report.h"
#include "cli/progress.h"

namespace dsv::cli {
namespace {

struct Dimension {
  std::string_view key;
  int64_t ModelConfig::*member;
};
constexpr std::array<Dimension, 20> kDimensions{{
    {"vocab_size", &ModelConfig::vocab_size},
    {"hidden_size", &ModelConfig::hidden_size},
    {"num_hidden_layers", &ModelConfig::num_hidden_layers},
    {"num_attention_heads", &ModelConfig::num_attention_heads},
    {"head_dim", &ModelConfig::head_dim},
    {"qk_rope_head_dim", &ModelConfig::qk_rope_head_dim},
    {"q_lora_rank", &ModelConfig::q_lora_rank},
    {"o_groups", &ModelConfig::o_groups},
    {"o_lora_rank", &ModelConfig::o_lora_rank},
    {"sliding_window", &ModelConfig::sliding_window},
    {"n_routed_experts", &ModelConfig::n_routed_experts},
    {"num_experts_per_tok", &ModelConfig::num_experts_per_tok},
    {"moe_intermediate_size", &ModelConfig::moe_intermediate_size},
    {"num_hash_layers", &ModelConfig::num_hash_layers},
    {"index_n_heads", &ModelConfig::index_n_heads},
    {"index_head_dim", &ModelConfig::index_head_dim},
    {"index_topk", &ModelConfig::index_topk},
    {"hc_mult", &ModelConfig::hc_mult},
    {"max_position_embeddings", &ModelConfig::max_position_embeddings},
    {"num_nextn_predict_layers", &ModelConfig::num_nextn_predict_layers},
}};

std::string_view DraftName(DraftKind draft) {
  switch (draft) {
    case DraftKind::kNone:
      return "none";
    case DraftKind::kMtp:
      return "MTP";
    case DraftKind::kDSpark:
      return "DSpark";
  }
  return "";
}

double Real(int64_t value) { return static_cast<double>(value); }

std::string Billions(int64_t value) {
  if (value < 100'000'000) return fmt::format("{:.3f} M", Real(value) / 1e6);
  return fmt::format("{:.3f} G", Real(value) / 1e9);
}

std::string Flops(int64_t value) {
  if (value < 1'000'000'000) return fmt::format("{:.2f} M", Real(value) / 1e6);
  return fmt::format("{:.2f} G", Real(value) / 1e9);
}

// 4096 -> "4K", 1048576 -> "1M".
std::string Tokens(int64_t tokens) {
  return tokens < 1 << 20 ? fmt::format("{}K", tokens >> 10) : fmt::format("{}M", tokens >> 20);
}

void AppendDimensions(const ModelConfig& config, std::string& text) {
  text += "\nDimensions\n";
  constexpr size_t kRows = kDimensions.size() / 2;
  for (size_t i = 0; i < kRows; ++i) {
    const Dimension& left = kDimensions[i];
    const Dimension& right = kDimensions[i + kRows];
    text += fmt::format("  {:<24}{:>9}    {:<26}{:>9}\n", left.key, config.*left.member, right.key,
                        config.*right.member);
  }
}

void AppendTensors(const InspectReport& report, std::string& text) {
  text += fmt::format("\n{:<12}{:>9}{:>22}\n", "Tensors", "count", "bytes");
  for (const InspectReport::DTypeRow& row : report.dtypes) {
    text += fmt::format("  {:<10}{:>9}{:>22}\n", row.dtype, WithCommas(row.tensors),
                        WithCommas(row.bytes));
  }
  text += fmt::format("  {:<10}{:>9}{:>22}   ({})\n", "total", WithCommas(report.tensors),
                      WithCommas(report.bytes), ShortBytes(Real(report.bytes)));
  if (report.declared_bytes != report.bytes) {
    text += fmt::format("  the index declares {} bytes\n", WithCommas(report.declared_bytes));
  }
}

void AppendParameters(const InspectReport& report, std::string& text) {
  const ParameterCount& parameters = report.parameters;
  text += "\nParameters\n";
  text +=
      fmt::format("  total    {:>12}   (main model {}, draft {})\n", Billions(parameters.Total()),
                  Billions(parameters.main), Billions(parameters.draft));
  text += fmt::format("  active   {:>12}   per token\n", Billions(parameters.active));
  text += fmt::format("  weights  {:>12}   read per decoded token (routed experts {}, others {})\n",
                      ShortBytes(Real(report.traffic.Total())),
                      ShortBytes(Real(report.traffic.routed_experts)),
                      ShortBytes(Real(report.traffic.other)));
}

void AppendContexts(const InspectReport& report, std::string& text) {
  text += fmt::format("\n{:<10}{:>18}{:>12}{:>9}{:>16}{:>12}{:>9}\n", "Context", "KV cache", "V3.2",
                      "ratio", "FLOP/token", "V3.2", "ratio");
  for (const InspectReport::ContextRow& row : report.contexts) {
    const int64_t flops = row.flops.Total();
    const int64_t v32_flops = row.v32_flops.Total();
    text += fmt::format("  {:<8}{:>18}{:>12}{:>8.1f}%{:>16}{:>12}{:>8.1f}%\n", Tokens(row.tokens),
                        ShortBytes(Real(row.kv_bytes)), ShortBytes(Real(row.v32_kv_bytes)),
                        100 * Real(row.kv_bytes) / Real(row.v32_kv_bytes), Flops(flops),
                        Flops(v32_flops), 100 * Real(flops) / Real(v32_flops));
  }
  text += "  (cache rows as the model packs them: FP8 values, BF16 rotated part, FP4 index keys)\n";
}

void AppendList(std::string_view title, const std::vector<std::string>& lines, std::string& text) {
  if (lines.empty()) return;
  constexpr size_t kShown = 20;
  text += fmt::format("\n{}\n", title);
  for (size_t i = 0; i < std::min(lines.size(), kShown); ++i) {
    text += fmt::format("  {}\n", OneLine(lines[i]));
  }
  if (lines.size() > kShown) text += fmt::format("  and {} more\n", lines.size() - kShown);
}

Json ContextAsJson(const InspectReport::ContextRow& row) {
  return {{"tokens", row.tokens},
          {"kv_bytes", row.kv_bytes},
          {"v32_kv_bytes", row.v32_kv_bytes},
          {"flops",
           {{"linear", row.flops.linear},
            {"csa", row.flops.csa},
            {"hca", row.flops.hca},
            {"swa", row.flops.swa},
            {"indexer", row.flops.indexer},
            {"total", row.flops.Total()}}},
          {"v32_flops",
           {{"linear", row.v32_flops.linear},
            {"attention", row.v32_flops.attention},
            {"indexer", row.v32_flops.indexer},
            {"total", row.v32_flops.Total()}}}};
}

}  // namespace

Json ReportAsJson(const InspectReport& report) {
  Json json = {{"model", report.name}, {"directory", report.directory}};
  for (const Dimension& dimension : kDimensions) {
    json["dimensions"][std::string(dimension.key)] = report.config.*dimension.member;
  }
  for (const LayerKind kind : report.config.layers) json["layers"].push_back(LayerKindName(kind));
  json["layer_pattern"] = report.pattern;
  json["draft"] = DraftName(report.draft);
  json["shards"] = report.shards;
  json["tensors"] = {{"count", report.tensors}, {"bytes", report.bytes}};
  for (const InspectReport::DTypeRow& row : report.dtypes) {
    json["tensors"]["dtypes"][row.dtype] = {{"count", row.tensors}, {"bytes", row.bytes}};
  }
  json["declared_bytes"] = report.declared_bytes;
  json["parameters"] = {{"total", report.parameters.Total()},
                        {"main", report.parameters.main},
                        {"draft", report.parameters.draft},
                        {"active", report.parameters.active}};
  json["weight_bytes_per_token"] = {{"total", report.traffic.Total()},
                                    {"routed_experts", report.traffic.routed_experts},
                                    {"other", report.traffic.other}};
  for (const auto& row : report.contexts) json["contexts"].push_back(ContextAsJson(row));
  json["unknown_keys"] = report.unknown_keys;
  json["unknown_tensors"] = report.unknown_tensors;
  json["problems"] = report.problems;
  return json;
}

std::string ReportAsText(const InspectReport& report) {
  const auto layers_of = [&](LayerKind kind) {
    return std::count(report.config.layers.begin(), report.config.layers.end(), kind);
  };
  std::string text = fmt::format("{}  {}\n\n", report.name, report.directory);
  text += fmt::format("Layers   {}: {} SWA, {} CSA, {} HCA; the first {} route by token id\n",
                      report.config.num_hidden_layers, layers_of(LayerKind::kSwa),
                      layers_of(LayerKind::kCsa), layers_of(LayerKind::kHca),
                      report.config.num_hash_layers);
  text += fmt::format("Pattern  {}\n", report.pattern);
  text += fmt::format("Draft    {}{}\n", DraftName(report.draft),
                      report.draft == DraftKind::kDSpark ? " (recognised, not used)" : "");
  text += fmt::format("Files    {} shards, {} tensors, {}\n", report.shards,
                      WithCommas(report.tensors), ShortBytes(Real(report.bytes)));
  AppendDimensions(report.config, text);
  AppendTensors(report, text);
  AppendParameters(report, text);
  AppendContexts(report, text);
  AppendList("Unknown keys of config.json", report.unknown_keys, text);
  AppendList("Unknown tensors", report.unknown_tensors, text);
  AppendList("Problems", report.problems, text);
  return text;
}

}  // namespace dsv::cli
