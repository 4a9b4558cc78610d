#include "checkpoint/weights_table.h"

#include <fmt/format.h>

#include <array>

namespace dsv {
namespace {

using Target = WeightTarget;

// What the shapes and conditions of a row depend on.
struct Scope {
  const ModelConfig& config;
  LayerKind kind = LayerKind::kSwa;
  bool hash_routing = false;
};
using Dim = int64_t (*)(const Scope&);
using Condition = bool (*)(const Scope&);

// A row of the table; W is the struct that the prefix of the name stands for.
template <class W>
struct Row {
  std::string_view name;
  WeightKind kind;
  Dim out;
  Dim in;          // null: a vector
  Condition when;  // null: always
  Target (*target)(W&);
};

int64_t Vocab(const Scope& s) { return s.config.vocab_size; }
int64_t Hidden(const Scope& s) { return s.config.hidden_size; }
int64_t ThreeHidden(const Scope& s) { return 3 * s.config.hidden_size; }
int64_t Streams(const Scope& s) { return s.config.hc_mult; }
int64_t StreamsHidden(const Scope& s) { return s.config.hc_mult * s.config.hidden_size; }
int64_t Mixes(const Scope& s) { return (2 + s.config.hc_mult) * s.config.hc_mult; }
int64_t Heads(const Scope& s) { return s.config.num_attention_heads; }
int64_t HeadDim(const Scope& s) { return s.config.head_dim; }
int64_t AllHeads(const Scope& s) { return s.config.num_attention_heads * s.config.head_dim; }
int64_t GroupHeads(const Scope& s) { return AllHeads(s) / s.config.o_groups; }
int64_t QRank(const Scope& s) { return s.config.q_lora_rank; }
int64_t ORank(const Scope& s) { return s.config.o_groups * s.config.o_lora_rank; }
int64_t Ratio(const Scope& s) { return CompressRatio(s.kind); }
// Overlapping groups (m = 4) give each token to two rows.
int64_t Overlap(const Scope& s) { return s.kind == LayerKind::kCsa ? 2 : 1; }
int64_t CompressDim(const Scope& s) { return Overlap(s) * s.config.head_dim; }
int64_t IndexHeads(const Scope& s) { return s.config.index_n_heads; }
int64_t IndexDim(const Scope& s) { return s.config.index_head_dim; }
int64_t AllIndexHeads(const Scope& s) { return s.config.index_n_heads * s.config.index_head_dim; }
int64_t IndexCompressDim(const Scope& s) { return Overlap(s) * s.config.index_head_dim; }
int64_t Experts(const Scope& s) { return s.config.n_routed_experts; }
int64_t TopK(const Scope& s) { return s.config.num_experts_per_tok; }
int64_t ExpertDim(const Scope& s) { return s.config.moe_intermediate_size; }
int64_t One(const Scope& /*s*/) { return 1; }
int64_t Three(const Scope& /*s*/) { return 3; }
// DSpark: rank of the Markov head of every release (appendix C.1).
int64_t MarkovRank(const Scope& /*s*/) { return 256; }
int64_t ConfidenceIn(const Scope& s) { return s.config.hidden_size + 256; }

bool Compressed(const Scope& s) { return s.kind != LayerKind::kSwa; }
bool Indexed(const Scope& s) { return s.kind == LayerKind::kCsa; }
bool Hashed(const Scope& s) { return s.hash_routing; }
bool Scored(const Scope& s) { return !s.hash_routing; }

template <class T>
T& Ensure(std::optional<T>& value) {
  return value ? *value : value.emplace();
}
CompressorWeights& Compressor(LayerWeights& w) { return Ensure(w.attn.compressor); }
IndexerWeights& Indexer(LayerWeights& w) { return Ensure(w.attn.indexer); }

using K = WeightKind;

using H = HyperConnectionWeights;
constexpr std::array<Row<H>, 3> kHyperConnection{{
    {"fn", K::kF32Matrix, Mixes, StreamsHidden, nullptr, [](H& w) -> Target { return &w.fn; }},
    {"base", K::kF32Vector, Mixes, nullptr, nullptr, [](H& w) -> Target { return &w.base; }},
    {"scale", K::kF32Vector, Three, nullptr, nullptr, [](H& w) -> Target { return &w.scale; }},
}};
constexpr std::array<Row<H>, 3> kHyperConnectionHead{{
    {"fn", K::kF32Matrix, Streams, StreamsHidden, nullptr, [](H& w) -> Target { return &w.fn; }},
    {"base", K::kF32Vector, Streams, nullptr, nullptr, [](H& w) -> Target { return &w.base; }},
    {"scale", K::kF32Vector, One, nullptr, nullptr, [](H& w) -> Target { return &w.scale; }},
}};

using M = ModelWeights;
constexpr std::array<Row<M>, 3> kModel{{
    {"embed.weight", K::kEmbedding, Vocab, Hidden, nullptr,
     [](M& w) -> Target { return &w.embed; }},
    {"head.weight", K::kMatrix, Vocab, Hidden, nullptr, [](M& w) -> Target { return &w.head; }},
    {"norm.weight", K::kVector, Hidden, nullptr, nullptr, [](M& w) -> Target { return &w.norm; }},
}};

using L = LayerWeights;
constexpr std::array<Row<L>, 23> kLayer{{
    {"attn_norm.weight", K::kVector, Hidden, nullptr, nullptr,
     [](L& w) -> Target { return &w.attn_norm; }},
    {"ffn_norm.weight", K::kVector, Hidden, nullptr, nullptr,
     [](L& w) -> Target { return &w.ffn_norm; }},
    {"attn.attn_sink", K::kF32Vector, Heads, nullptr, nullptr,
     [](L& w) -> Target { return &w.attn.attn_sink; }},
    {"attn.q_norm.weight", K::kVector, QRank, nullptr, nullptr,
     [](L& w) -> Target { return &w.attn.q_norm; }},
    {"attn.kv_norm.weight", K::kVector, HeadDim, nullptr, nullptr,
     [](L& w) -> Target { return &w.attn.kv_norm; }},
    {"attn.wq_a", K::kLinear, QRank, Hidden, nullptr, [](L& w) -> Target { return &w.attn.wq_a; }},
    {"attn.wq_b", K::kLinear, AllHeads, QRank, nullptr,
     [](L& w) -> Target { return &w.attn.wq_b; }},
    {"attn.wkv", K::kLinear, HeadDim, Hidden, nullptr, [](L& w) -> Target { return &w.attn.wkv; }},
    {"attn.wo_a", K::kRaggedLinear, ORank, GroupHeads, nullptr,
     [](L& w) -> Target { return &w.attn.wo_a; }},
    {"attn.wo_b", K::kLinear, Hidden, ORank, nullptr, [](L& w) -> Target { return &w.attn.wo_b; }},
    {"attn.compressor.ape", K::kF32Table, Ratio, CompressDim, Compressed,
     [](L& w) -> Target { return &Compressor(w).ape; }},
    {"attn.compressor.wkv.weight", K::kMatrix, CompressDim, Hidden, Compressed,
     [](L& w) -> Target { return &Compressor(w).wkv; }},
    {"attn.compressor.wgate.weight", K::kMatrix, CompressDim, Hidden, Compressed,
     [](L& w) -> Target { return &Compressor(w).wgate; }},
    {"attn.compressor.norm.weight", K::kVector, HeadDim, nullptr, Compressed,
     [](L& w) -> Target { return &Compressor(w).norm; }},
    {"attn.indexer.wq_b", K::kLinear, AllIndexHeads, QRank, Indexed,
     [](L& w) -> Target { return &Indexer(w).wq_b; }},
    {"attn.indexer.weights_proj.weight", K::kMatrix, IndexHeads, Hidden, Indexed,
     [](L& w) -> Target { return &Indexer(w).weights_proj; }},
    {"attn.indexer.compressor.ape", K::kF32Table, Ratio, IndexCompressDim, Indexed,
     [](L& w) -> Target { return &Indexer(w).compressor.ape; }},
    {"attn.indexer.compressor.wkv.weight", K::kMatrix, IndexCompressDim, Hidden, Indexed,
     [](L& w) -> Target { return &Indexer(w).compressor.wkv; }},
    {"attn.indexer.compressor.wgate.weight", K::kMatrix, IndexCompressDim, Hidden, Indexed,
     [](L& w) -> Target { return &Indexer(w).compressor.wgate; }},
    {"attn.indexer.compressor.norm.weight", K::kVector, IndexDim, nullptr, Indexed,
     [](L& w) -> Target { return &Indexer(w).compressor.norm; }},
    {"ffn.gate.weight", K::kMatrix, Experts, Hidden, nullptr,
     [](L& w) -> Target { return &w.ffn.gate; }},
    {"ffn.gate.bias", K::kF32Vector, Experts, nullptr, Scored,
     [](L& w) -> Target { return &Ensure(w.ffn.bias); }},
    {"ffn.gate.tid2eid", K::kTokenTable, Vocab, TopK, Hashed,
     [](L& w) -> Target { return &w.ffn.tid2eid; }},
}};

using E = ExpertWeights;
constexpr std::array<Row<E>, 3> kExpert{{
    {"w1", K::kExpertLinear, ExpertDim, Hidden, nullptr, [](E& w) -> Target { return &w.w1; }},
    {"w2", K::kExpertLinear, Hidden, ExpertDim, nullptr, [](E& w) -> Target { return &w.w2; }},
    {"w3", K::kExpertLinear, ExpertDim, Hidden, nullptr, [](E& w) -> Target { return &w.w3; }},
}};

using P = MtpWeights;
constexpr std::array<Row<P>, 5> kMtp{{
    {"e_proj", K::kLinear, Hidden, Hidden, nullptr, [](P& w) -> Target { return &w.e_proj; }},
    {"h_proj", K::kLinear, Hidden, Hidden, nullptr, [](P& w) -> Target { return &w.h_proj; }},
    {"enorm.weight", K::kVector, Hidden, nullptr, nullptr, [](P& w) -> Target { return &w.enorm; }},
    {"hnorm.weight", K::kVector, Hidden, nullptr, nullptr, [](P& w) -> Target { return &w.hnorm; }},
    {"norm.weight", K::kVector, Hidden, nullptr, nullptr, [](P& w) -> Target { return &w.norm; }},
}};

struct Unused {};
Target NoTarget(Unused& /*w*/) { return {}; }
constexpr std::array<Row<Unused>, 2> kDSparkFirst{{
    {"main_proj", K::kLinear, Hidden, ThreeHidden, nullptr, NoTarget},
    {"main_norm.weight", K::kVector, Hidden, nullptr, nullptr, NoTarget},
}};
constexpr std::array<Row<Unused>, 4> kDSparkLast{{
    {"norm.weight", K::kVector, Hidden, nullptr, nullptr, NoTarget},
    {"markov_head.markov_w1.weight", K::kMatrix, Vocab, MarkovRank, nullptr, NoTarget},
    {"markov_head.markov_w2.weight", K::kMatrix, Vocab, MarkovRank, nullptr, NoTarget},
    {"confidence_head.proj.weight", K::kMatrix, One, ConfidenceIn, nullptr, NoTarget},
}};

// Goes through the table; every method returns false once the visitor wants to stop.
class Walk {
 public:
  Walk(const ModelConfig& config, const WeightVisitor& visit, bool has_targets)
      : config_(config), visit_(visit), has_targets_(has_targets) {}

  bool Model(DraftKind draft, ModelWeights& weights) {
    const Scope scope{config_};
    if (!Rows(kModel, "", scope, weights)) return false;
    if (!Rows(kHyperConnectionHead, "hc_head_", scope, weights.hc_head)) return false;
    for (int64_t i = 0; i < config_.num_hidden_layers; ++i) {
      const Scope layer{config_, config_.layers[static_cast<size_t>(i)],
                        i < config_.num_hash_layers};
      LayerWeights& target = Next(weights.layers);
      if (!Layer(fmt::format("layers.{}.", i), layer, target)) return false;
    }
    is_draft_ = true;
    if (draft == DraftKind::kMtp) return Mtp(weights.mtp.emplace());
    return draft == DraftKind::kNone || DSpark();
  }

 private:
  // A new element, or always the same one if nothing is kept.
  template <class W>
  W& Next(std::vector<W>& elements) const {
    if (has_targets_ || elements.empty()) return elements.emplace_back();
    return elements.back();
  }

  template <class Table, class W>
  bool Rows(const Table& rows, std::string_view prefix, const Scope& scope, W& weights) {
    for (const auto& row : rows) {
      if (row.when != nullptr && !row.when(scope)) continue;
      if (!Visit(row, row.kind, prefix, scope, weights)) return false;
    }
    return true;
  }

  template <class W>
  bool Visit(const Row<W>& row, WeightKind kind, std::string_view prefix, const Scope& scope,
             W& weights) {
    name_.assign(prefix).append(row.name);
    return visit_({name_, kind, row.out(scope), row.in == nullptr ? 0 : row.in(scope), is_draft_,
                   has_targets_ ? row.target(weights) : Target()});
  }

  bool Layer(const std::string& prefix, const Scope& scope, LayerWeights& weights) {
    weights.kind = scope.kind;
    if (!Rows(kLayer, prefix, scope, weights)) return false;
    if (!Rows(kHyperConnection, prefix + "hc_attn_", scope, weights.hc_attn)) return false;
    if (!Rows(kHyperConnection, prefix + "hc_ffn_", scope, weights.hc_ffn)) return false;
    const std::string shared = prefix + "ffn.shared_experts.";
    for (const Row<ExpertWeights>& row : kExpert) {
      if (!Visit(row, K::kLinear, shared, scope, weights.ffn.shared_experts)) return false;
    }
    if (has_targets_) weights.ffn.experts.reserve(static_cast<size_t>(config_.n_routed_experts));
    for (int64_t e = 0; e < config_.n_routed_experts; ++e) {
      const std::string expert = fmt::format("{}ffn.experts.{}.", prefix, e);
      if (!Rows(kExpert, expert, scope, Next(weights.ffn.experts))) return false;
    }
    return true;
  }

  bool Mtp(MtpWeights& weights) {
    const Scope scope{config_};
    return Layer("mtp.0.", scope, weights.layer) && Rows(kMtp, "mtp.0.", scope, weights) &&
           Rows(kHyperConnectionHead, "mtp.0.hc_head_", scope, weights.hc_head);
  }

  bool DSpark() {
    const Scope scope{config_};
    has_targets_ = false;
    Unused unused;
    HyperConnectionWeights head;
    const int64_t stages = config_.num_nextn_predict_layers;
    for (int64_t i = 0; i < stages; ++i) {
      const std::string prefix = fmt::format("mtp.{}.", i);
      LayerWeights layer;
      if (!Layer(prefix, scope, layer)) return false;
      if (i == 0 && !Rows(kDSparkFirst, prefix, scope, unused)) return false;
      if (i + 1 < stages) continue;
      if (!Rows(kDSparkLast, prefix, scope, unused)) return false;
      if (!Rows(kHyperConnectionHead, prefix + "hc_head_", scope, head)) return false;
    }
    return true;
  }

  const ModelConfig& config_;
  const WeightVisitor& visit_;
  bool has_targets_;
  std::string name_;
  bool is_draft_ = false;
};

int64_t Blocks(int64_t size) { return (size + kFp8Block - 1) / kFp8Block; }

void AppendLinear(const WeightEntry& entry, WeightScheme scheme,
                  std::vector<SafetensorsWriter::Entry>& tensors) {
  const std::string weight = fmt::format("{}.weight", entry.name);
  const std::string scale = fmt::format("{}.scale", entry.name);
  if (scheme == WeightScheme::kBf16) {
    tensors.push_back({weight, DType::kBF16, {entry.out, entry.in}});
  } else if (scheme == WeightScheme::kRelease && entry.kind == WeightKind::kExpertLinear) {
    tensors.push_back({weight, DType::kI8, {entry.out, entry.in / 2}});
    tensors.push_back({scale, DType::kF8E8M0, {entry.out, entry.in / kFp4Block}});
  } else {
    const DType scale_type = scheme == WeightScheme::kBase ? DType::kF32 : DType::kF8E8M0;
    tensors.push_back({weight, DType::kF8E4M3, {entry.out, entry.in}});
    tensors.push_back({scale, scale_type, {Blocks(entry.out), Blocks(entry.in)}});
  }
}

DType ReleaseDType(WeightKind kind) {
  if (kind == WeightKind::kTokenTable) return DType::kI64;
  const bool is_f32 = kind == WeightKind::kF32Matrix || kind == WeightKind::kF32Table ||
                      kind == WeightKind::kF32Vector;
  return is_f32 ? DType::kF32 : DType::kBF16;
}

}  // namespace

void ForEachWeight(const ModelConfig& config, DraftKind draft, const WeightVisitor& visit) {
  ModelWeights unused;
  Walk(config, visit, /*has_targets=*/false).Model(draft, unused);
}

void ForEachWeight(const ModelConfig& config, DraftKind draft, ModelWeights& weights,
                   const WeightVisitor& visit) {
  Walk(config, visit, /*has_targets=*/true).Model(draft, weights);
}

std::vector<SafetensorsWriter::Entry> ExpectedTensors(const ModelConfig& config, DraftKind draft,
                                                      WeightScheme scheme) {
  std::vector<SafetensorsWriter::Entry> tensors;
  ForEachWeight(config, draft, [&](const WeightEntry& entry) {
    if (entry.IsLinear()) {
      AppendLinear(entry, scheme, tensors);
    } else if (entry.in == 0) {
      tensors.push_back({std::string(entry.name), ReleaseDType(entry.kind), {entry.out}});
    } else {
      tensors.push_back({std::string(entry.name), ReleaseDType(entry.kind), {entry.out, entry.in}});
    }
    return true;
  });
  return tensors;
}

}  // namespace dsv
