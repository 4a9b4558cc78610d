#include "cli/bench/flash_costs.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "cache/row_format.h"
#include "checkpoint/weights_table.h"

namespace dsv::cli {
namespace {

bool StartsWith(std::string_view name, std::string_view start) { return name.rfind(start, 0) == 0; }

// `name` without "layers.N.".
const char* OperatorOf(std::string_view name) {
  if (StartsWith(name, "ffn.experts.") || StartsWith(name, "ffn.shared_experts.")) return "experts";
  if (StartsWith(name, "ffn.gate.")) return "router";
  if (StartsWith(name, "hc_")) return "hyper_connections";
  if (StartsWith(name, "attn.compressor.") || StartsWith(name, "attn.indexer.")) {
    return "compressor_indexer_linear";
  }
  if (StartsWith(name, "attn.w")) return "attention_linear";
  return "norms";
}

}  // namespace

int64_t Sum(const OperatorAmounts& amounts) {
  int64_t sum = 0;
  for (const auto& [name, amount] : amounts) sum += amount;
  return sum;
}

OperatorAmounts LayerWeightBytes(const ModelConfig& config, const Checkpoint& checkpoint,
                                 int64_t layer) {
  const std::string prefix = fmt::format("layers.{}.", layer);
  OperatorAmounts bytes;
  int64_t routed = 0;
  checkpoint.ForEach([&](const std::string& name, const TensorView& view, const auto&) {
    if (!StartsWith(name, prefix)) return;
    const std::string_view rest = std::string_view(name).substr(prefix.size());
    if (StartsWith(rest, "ffn.experts.")) {
      routed += view.Bytes();
    } else {
      bytes[OperatorOf(rest)] += view.Bytes();
    }
  });
  bytes["experts"] += routed / config.n_routed_experts * config.num_experts_per_tok;
  return bytes;
}

OperatorAmounts HeadWeightBytes(const Checkpoint& checkpoint) {
  OperatorAmounts bytes;
  checkpoint.ForEach([&](const std::string& name, const TensorView& view, const auto&) {
    if (StartsWith(name, "layers.") || StartsWith(name, "embed.")) return;
    bytes["head"] += view.Bytes();
  });
  return bytes;
}

RowsRead RowsAt(const ModelConfig& config, LayerKind kind, int64_t position) {
  RowsRead rows;
  rows.window = std::min(position + 1, config.sliding_window);
  if (kind == LayerKind::kSwa) return rows;
  rows.compressed = (position + 1) / CompressRatio(kind);
  if (kind == LayerKind::kCsa && rows.compressed > config.index_topk) {
    rows.keys = rows.compressed;
    rows.compressed = config.index_topk;
  }
  return rows;
}

OperatorAmounts RowBytes(const ModelConfig& config, LayerKind kind, int64_t position) {
  const RowsRead rows = RowsAt(config, kind, position);
  const auto main =
      RowFormat::Main(Precision::kReference, config.head_dim, config.qk_rope_head_dim).bytes();
  const auto key = RowFormat::IndexKey(Precision::kReference, config.index_head_dim).bytes();
  const char* const attention = kind == LayerKind::kHca ? "attention_hca" : "attention_csa_swa";
  OperatorAmounts bytes{{attention, (rows.window + rows.compressed) * main}};
  if (rows.keys > 0) bytes["index_scan"] = rows.keys * key;
  return bytes;
}

MultiplyAdds LayerMultiplyAdds(const ModelConfig& config, int64_t layer, int64_t begin,
                               int64_t end) {
  MultiplyAdds work;
  const std::string prefix = fmt::format("layers.{}.", layer);
  int64_t per_token = 0;
  int64_t routed = 0;
  ForEachWeight(config, DraftKind::kNone, [&](const WeightEntry& entry) {
    if (!StartsWith(entry.name, prefix) || entry.in == 0) return true;
    if (entry.kind == WeightKind::kExpertLinear) {
      routed += entry.out * entry.in;
    } else if (entry.kind != WeightKind::kF32Table && entry.kind != WeightKind::kTokenTable) {
      per_token += entry.out * entry.in;
    }
    return true;
  });
  per_token += routed / config.n_routed_experts * config.num_experts_per_tok;
  work.linear = per_token * (end - begin);
  const int64_t row = 2 * config.num_attention_heads * config.head_dim;
  for (int64_t position = begin; position < end; ++position) {
    const RowsRead rows = RowsAt(config, config.layers[static_cast<size_t>(layer)], position);
    work.attention += (rows.window + rows.compressed) * row;
    work.index_scan += rows.keys * config.index_n_heads * config.index_head_dim;
  }
  return work;
}

}  // namespace dsv::cli
