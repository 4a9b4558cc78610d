#include "checkpoint/config.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <string>
#include <utility>

#include "base/file.h"
#include "checkpoint/config_layout.h"
#include "checkpoint/config_reader.h"

namespace dsv {
namespace {

constexpr size_t kMaxConfigBytes = 256 * 1024;  // the published files have 3 KB

enum class Needed : uint8_t { kAlways, kWithCsa };

struct IntegerKey {
  std::string_view key;
  int64_t ModelConfig::*member;
  int64_t min;
  int64_t max;
  Needed needed = Needed::kAlways;
};

// The upper bounds lie far beyond any released model; they keep the number of weights and
// FLOPs inside 63 bits and allocations that no tensor backs within reason.
constexpr std::array<IntegerKey, 20> kIntegers{{
    {"vocab_size", &ModelConfig::vocab_size, 1, 1 << 24},
    {"hidden_size", &ModelConfig::hidden_size, 1, 1 << 16},
    {"num_hidden_layers", &ModelConfig::num_hidden_layers, 1, 512},
    {"num_attention_heads", &ModelConfig::num_attention_heads, 1, 4096},
    {"head_dim", &ModelConfig::head_dim, 2, 8192},
    {"q_lora_rank", &ModelConfig::q_lora_rank, 1, 1 << 17},
    {"o_groups", &ModelConfig::o_groups, 1, 4096},
    {"o_lora_rank", &ModelConfig::o_lora_rank, 1, 1 << 17},
    {"moe_intermediate_size", &ModelConfig::moe_intermediate_size, 1, 1 << 18},
    {"n_routed_experts", &ModelConfig::n_routed_experts, 1, 1 << 13},
    {"num_experts_per_tok", &ModelConfig::num_experts_per_tok, 1, 1 << 13},
    {"num_nextn_predict_layers", &ModelConfig::num_nextn_predict_layers, 0, 16},
    {"sliding_window", &ModelConfig::sliding_window, 1, 1 << 16},
    {"index_n_heads", &ModelConfig::index_n_heads, 1, 4096, Needed::kWithCsa},
    {"index_head_dim", &ModelConfig::index_head_dim, 32, 8192, Needed::kWithCsa},
    {"index_topk", &ModelConfig::index_topk, 1, 1 << 20, Needed::kWithCsa},
    {"hc_mult", &ModelConfig::hc_mult, 4, 4},  // the shapes of hc_* are those of 4 streams
    {"hc_sinkhorn_iters", &ModelConfig::hc_sinkhorn_iters, 1, 1000},
    {"max_position_embeddings", &ModelConfig::max_position_embeddings, 1, 1 << 30},
    {"bos_token_id", &ModelConfig::bos_token_id, 0, (1 << 24) - 1},
}};

struct RealKey {
  std::string_view key;
  double ModelConfig::*member;
  double min;
  double max;
};
constexpr std::array<RealKey, 4> kReals{{
    {"routed_scaling_factor", &ModelConfig::routed_scaling_factor, 1e-6, 1e6},
    {"swiglu_limit", &ModelConfig::swiglu_limit, 1e-6, 1e6},
    {"hc_eps", &ModelConfig::hc_eps, 0, 1},
    {"rms_norm_eps", &ModelConfig::rms_norm_eps, 1e-30, 1},
}};

// Choices that the published models make one way; another way would be another computation.
struct FixedKey {
  std::string_view key;
  std::string_view json;
};
constexpr std::array<FixedKey, 8> kFixed{{
    {"num_key_value_heads", "1"},
    {"n_shared_experts", "1"},
    {"scoring_func", R"("sqrtsoftplus")"},
    {"topk_method", R"("noaux_tc")"},
    {"norm_topk_prob", "true"},
    {"hidden_act", R"("silu")"},
    {"attention_bias", "false"},
    {"tie_word_embeddings", "false"},
}};

Status RefuseOtherModels(ConfigReader& reader) {
  for (const auto& [key, value] : reader.object().items()) {
    std::string lower = key;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (lower.find("engram") != std::string::npos) {
      return Fail("{}: this is a DeepSeek-V4.1 model (key {}), which is not supported",
                  reader.source(), key);
    }
  }
  if (!reader.Has("hidden_size") && reader.Has("dim")) {
    return Fail(
        "{}: this is the inference/config.json of the reference code; expected the config.json "
        "beside the weights",
        reader.source());
  }
  DSV_ASSIGN(const std::string type, reader.Text("model_type"));
  if (type == "deepseek_v4") return {};
  if (type.rfind("deepseek_v4", 0) == 0 && type.find('1') != std::string::npos) {
    return Fail("{}: this is a DeepSeek-V4.1 model (model_type {}), which is not supported",
                reader.source(), Shown(Json(type)));
  }
  return reader.FailAt("model_type", "is {}, expected \"deepseek_v4\"", Shown(Json(type)));
}

Status ReadEos(ConfigReader& reader, ModelConfig& config) {
  const Json* value = reader.Find("eos_token_id");
  if (value != nullptr && value->is_array() && !value->empty()) {
    const Json first = {{"eos_token_id", value->front()}};
    DSV_ASSIGN(config.eos_token_id,
               ConfigReader(first, reader.source()).Integer("eos_token_id", 0, 1 << 24));
    return {};
  }
  DSV_ASSIGN(config.eos_token_id, reader.Integer("eos_token_id", 0, 1 << 24));
  return {};
}

Status ReadQuantization(ConfigReader& reader) {
  const Json* value = reader.Find("quantization_config");
  if (value == nullptr || value->is_null()) return {};
  DSV_ASSIGN(ConfigReader quantization, reader.Object("quantization_config"));
  return quantization.Fixed("weight_block_size", "[128,128]");
}

Status ReadScalars(ConfigReader& reader, ModelConfig& config) {
  for (const IntegerKey& key : kIntegers) {
    if (key.needed == Needed::kWithCsa && !reader.Has(key.key)) continue;
    DSV_ASSIGN(config.*key.member, reader.Integer(key.key, key.min, key.max));
  }
  for (const RealKey& key : kReals) {
    DSV_ASSIGN(config.*key.member, reader.Real(key.key, key.min, key.max));
  }
  for (const FixedKey& key : kFixed) DSV_TRY(reader.Fixed(key.key, key.json));
  return {};
}

Status CheckIndexer(const ConfigReader& reader, const ModelConfig& config) {
  if (std::find(config.layers.begin(), config.layers.end(), LayerKind::kCsa) ==
      config.layers.end()) {
    return {};
  }
  for (const IntegerKey& key : kIntegers) {
    if (key.needed == Needed::kWithCsa && !reader.Has(key.key)) {
      return reader.FailAt(key.key, "is missing");
    }
  }
  if (!std::has_single_bit(static_cast<uint64_t>(config.index_head_dim))) {
    return reader.FailAt("index_head_dim", "is {}, expected a power of two (Hadamard rotation)",
                         config.index_head_dim);
  }
  if (config.index_head_dim < config.qk_rope_head_dim) {
    return reader.FailAt("index_head_dim", "is {}, expected at least qk_rope_head_dim {}",
                         config.index_head_dim, config.qk_rope_head_dim);
  }
  return {};
}

Status CheckConsistency(const ConfigReader& reader, const ModelConfig& config) {
  if (config.num_attention_heads % config.o_groups != 0) {
    return reader.FailAt("num_attention_heads", "is {}, expected a multiple of o_groups {}",
                         config.num_attention_heads, config.o_groups);
  }
  if (config.num_experts_per_tok > config.n_routed_experts) {
    return reader.FailAt("num_experts_per_tok", "is {}, expected at most n_routed_experts {}",
                         config.num_experts_per_tok, config.n_routed_experts);
  }
  for (const auto& [key, id] : {std::pair("bos_token_id", config.bos_token_id),
                                std::pair("eos_token_id", config.eos_token_id)}) {
    if (id >= config.vocab_size) {
      return reader.FailAt(key, "is {}, expected less than vocab_size {}", id, config.vocab_size);
    }
  }
  return CheckIndexer(reader, config);
}

}  // namespace

int64_t CompressRatio(LayerKind kind) {
  switch (kind) {
    case LayerKind::kSwa:
      return 0;
    case LayerKind::kCsa:
      return 4;
    case LayerKind::kHca:
      return 128;
  }
  return 0;
}

std::string_view LayerKindName(LayerKind kind) {
  switch (kind) {
    case LayerKind::kSwa:
      return "SWA";
    case LayerKind::kCsa:
      return "CSA";
    case LayerKind::kHca:
      return "HCA";
  }
  return "";
}

Result<ModelConfig> ParseConfig(std::string_view json, const std::string& source) {
  if (json.size() > kMaxConfigBytes) {
    return Fail("{}: {} bytes, expected at most {}", source, json.size(), kMaxConfigBytes);
  }
  DSV_ASSIGN(const Json document, ParseJson(json, source));
  if (!document.is_object()) {
    return Fail("{}: expected a JSON object, found {}", source, Shown(document));
  }
  ConfigReader reader(document, source);
  ModelConfig config;
  DSV_TRY(RefuseOtherModels(reader));
  DSV_TRY(ReadScalars(reader, config));
  DSV_TRY(ReadEos(reader, config));
  DSV_TRY(ReadLayers(reader, config));
  DSV_TRY(ReadHashLayers(reader, config));
  DSV_TRY(ReadRopeDim(reader, config));
  DSV_TRY(ReadRope(reader, config));
  DSV_TRY(ReadQuantization(reader));
  DSV_TRY(CheckConsistency(reader, config));
  reader.Ignore({"architectures", "attention_dropout", "dspark_block_size", "dspark_markov_rank",
                 "dspark_noise_token_id", "dspark_target_layer_ids", "dtype", "expert_dtype",
                 "initializer_range", "pad_token_id", "torch_dtype", "transformers_version",
                 "use_cache"});
  reader.AppendUnknown(config.unknown_keys);
  return config;
}

Result<ModelConfig> LoadConfig(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / "config.json";
  DSV_ASSIGN(const std::string text, ReadFile(path));
  return ParseConfig(text, path.string());
}

}  // namespace dsv
