#include "checkpoint/accounting.h"

#include <algorithm>
#include <string>

#include "checkpoint/weights_table.h"

namespace dsv {
namespace {

int64_t LayersOfKind(const ModelConfig& config, LayerKind kind) {
  return std::count(config.layers.begin(), config.layers.end(), kind);
}

int64_t Elements(const WeightEntry& entry) { return entry.out * std::max<int64_t>(entry.in, 1); }

bool IsMultiplied(const WeightEntry& entry) {
  return entry.in != 0 && entry.kind != WeightKind::kEmbedding &&
         entry.kind != WeightKind::kF32Table && entry.kind != WeightKind::kTokenTable;
}

// Bytes of a weight and its scale as the checkpoint stores them; 0 if it is missing.
int64_t StoredBytes(const WeightEntry& entry, const Checkpoint& checkpoint) {
  const auto bytes = [&](const std::string& name) {
    const TensorView* view = checkpoint.Find(name);
    return view == nullptr ? 0 : view->Bytes();
  };
  const std::string name(entry.name);
  if (!entry.IsLinear()) return bytes(name);
  return bytes(name + ".weight") + bytes(name + ".scale");
}

}  // namespace

ParameterCount CountParameters(const ModelConfig& config, DraftKind draft) {
  ParameterCount count;
  int64_t routed = 0;
  ForEachWeight(config, draft, [&](const WeightEntry& entry) {
    if (entry.kind == WeightKind::kTokenTable) return true;
    const int64_t elements = Elements(entry);
    (entry.is_draft ? count.draft : count.main) += elements;
    if (entry.is_draft || !IsMultiplied(entry)) return true;
    (entry.kind == WeightKind::kExpertLinear ? routed : count.active) += elements;
    return true;
  });
  count.active += routed / config.n_routed_experts * config.num_experts_per_tok;
  return count;
}

WeightTraffic CountWeightTraffic(const ModelConfig& config, const Checkpoint& checkpoint) {
  WeightTraffic traffic;
  ForEachWeight(config, DraftKind::kNone, [&](const WeightEntry& entry) {
    const int64_t bytes = StoredBytes(entry, checkpoint);
    if (entry.kind == WeightKind::kExpertLinear) {
      traffic.routed_experts += bytes;
    } else if (entry.kind == WeightKind::kEmbedding || entry.kind == WeightKind::kTokenTable) {
      traffic.other += bytes / entry.out;
    } else {
      traffic.other += bytes;
    }
    return true;
  });
  traffic.routed_experts =
      traffic.routed_experts / config.n_routed_experts * config.num_experts_per_tok;
  return traffic;
}

int64_t KvRowBytes(const ModelConfig& config, KvFormat format) {
  if (format == KvFormat::kBf16) return 2 * config.head_dim;
  const int64_t plain = config.head_dim - config.qk_rope_head_dim;
  const int64_t bytes = plain + (plain + 63) / 64 + 2 * config.qk_rope_head_dim;
  return (bytes + 7) / 8 * 8;
}

int64_t IndexKeyBytes(const ModelConfig& config, KvFormat format) {
  const int64_t dim = config.index_head_dim;
  switch (format) {
    case KvFormat::kPacked:
      return dim / 2 + (dim + kFp4Block - 1) / kFp4Block;
    case KvFormat::kPackedFp8Keys:
      return dim + 4;
    case KvFormat::kBf16:
      return 2 * dim;
  }
  return 0;
}

int64_t KvBytes(const ModelConfig& config, KvFormat format, int64_t tokens) {
  const int64_t row = KvRowBytes(config, format);
  const int64_t window = std::min(tokens, config.sliding_window) * row;
  const int64_t csa =
      tokens / CompressRatio(LayerKind::kCsa) * (row + IndexKeyBytes(config, format));
  const int64_t hca = tokens / CompressRatio(LayerKind::kHca) * row;
  return config.num_hidden_layers * window + LayersOfKind(config, LayerKind::kCsa) * csa +
         LayersOfKind(config, LayerKind::kHca) * hca;
}

int64_t WindowBytes(const ModelConfig& config, KvFormat format) {
  return config.num_hidden_layers * config.sliding_window * KvRowBytes(config, format);
}

int64_t CompressorBufferBytes(const ModelConfig& config) {
  // F32 values and gates: two groups of 4 in both widths for CSA, one group of 128 for HCA.
  const int64_t csa = 2 * 8 * 2 * (config.head_dim + config.index_head_dim) * 4;
  const int64_t hca = 2 * 128 * config.head_dim * 4;
  return LayersOfKind(config, LayerKind::kCsa) * csa + LayersOfKind(config, LayerKind::kHca) * hca;
}

int64_t CompressorStateBytes(const ModelConfig& config, int64_t tokens) {
  constexpr int64_t kPair = 2 * 4;  // an F32 value and its gate
  const int64_t dims = config.head_dim + config.index_head_dim;
  const int64_t csa = (tokens % 4 * 2 + 4) * dims * kPair;
  const int64_t hca = tokens % 128 * config.head_dim * kPair;
  return LayersOfKind(config, LayerKind::kCsa) * csa + LayersOfKind(config, LayerKind::kHca) * hca;
}

int64_t SnapshotBytes(const ModelConfig& config, KvFormat format, int64_t tokens) {
  const int64_t rows = std::min(tokens, config.sliding_window - 1);
  return CompressorStateBytes(config, tokens) +
         config.num_hidden_layers * rows * KvRowBytes(config, format);
}

FlopCount CountFlops(const ModelConfig& config, int64_t active_parameters, int64_t tokens) {
  const int64_t row = 2 * config.num_attention_heads * 2 * config.head_dim;  // key and value
  const int64_t window = std::min(tokens, config.sliding_window);
  const int64_t csa_layers = LayersOfKind(config, LayerKind::kCsa);
  const int64_t hca_layers = LayersOfKind(config, LayerKind::kHca);
  FlopCount count;
  count.linear = 2 * active_parameters;
  count.swa = LayersOfKind(config, LayerKind::kSwa) * row * window;
  count.csa = csa_layers * row * (window + std::min(config.index_topk, tokens / 4));
  count.hca = hca_layers * row * (window + tokens / 128);
  count.indexer = csa_layers * 2 * config.index_n_heads * config.index_head_dim * (tokens / 4);
  return count;
}

int64_t V32KvBytes(KvFormat format, int64_t tokens, int64_t layers) {
  const int64_t row = format == KvFormat::kBf16 ? 1152 + 256 : 656 + 132;
  return layers * tokens * row;
}

V32FlopCount CountV32Flops(int64_t tokens) {
  constexpr int64_t kHidden = 7168;
  constexpr int64_t kHeads = 128;
  constexpr int64_t kQRank = 1536;
  constexpr int64_t kLatent = 512;
  constexpr int64_t kRope = 64;
  constexpr int64_t kHeadDim = 128;  // not rotated, and of a value
  constexpr int64_t kIndexHeads = 64;
  constexpr int64_t kIndexDim = 128;
  constexpr int64_t kDenseLayers = 3;
  constexpr int64_t kAttention = kHidden * kQRank + kQRank * kHeads * (kHeadDim + kRope) +
                                 kHidden * (kLatent + kRope) + 2 * kLatent * kHeads * kHeadDim +
                                 kHeads * kHeadDim * kHidden;
  constexpr int64_t kIndexer =
      kQRank * kIndexHeads * kIndexDim + kHidden * kIndexDim + kHidden * kIndexHeads;
  constexpr int64_t kDense = 3 * kHidden * 18432;
  constexpr int64_t kMoe = (8 + 1) * 3 * kHidden * 2048 + 256 * kHidden;
  constexpr int64_t kActive = kV32Layers * (kAttention + kIndexer) + kDenseLayers * kDense +
                              (kV32Layers - kDenseLayers) * kMoe + 129280 * kHidden;
  V32FlopCount count;
  count.linear = 2 * kActive;
  count.attention =
      kV32Layers * kHeads * 2 * (kLatent + kRope + kLatent) * std::min<int64_t>(2048, tokens);
  count.indexer = kV32Layers * kIndexHeads * kIndexDim * 2 * tokens;
  return count;
}

}  // namespace dsv
