#include "checkpoint/config_layout.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

namespace dsv {
namespace {

// The published compress_ratios (spec 1.3); 1 is a third-party spelling of 0.
Result<LayerKind> KindFromRatio(const ConfigReader& reader, size_t index, const Json& value) {
  if (value == 0 || value == 1) return LayerKind::kSwa;
  if (value == 4) return LayerKind::kCsa;
  if (value == 128) return LayerKind::kHca;
  const std::string place = fmt::format("compress_ratios[{}]", index);
  if (!value.is_number_integer()) {
    return reader.FailAt(place, "is {}, expected 0, 4 or 128", Shown(value));
  }
  return reader.FailAt(place,
                       "is {}, expected 0, 4 or 128 (other ratios belong to DeepSeek-V4.1, which "
                       "is not supported)",
                       Shown(value));
}

// The names of the transformers layout (spec 1.4).
Result<LayerKind> KindFromType(const ConfigReader& reader, size_t index, const Json& value) {
  if (value == "sliding_attention") return LayerKind::kSwa;
  if (value == "compressed_sparse_attention") return LayerKind::kCsa;
  if (value == "heavily_compressed_attention") return LayerKind::kHca;
  return reader.FailAt(fmt::format("layer_types[{}]", index),
                       "is {}, expected sliding_attention, compressed_sparse_attention or "
                       "heavily_compressed_attention",
                       Shown(value));
}

// Either list has one entry per main layer and may go on with one per draft layer.
template <class KindOf>
Status ReadLayerList(ConfigReader& reader, std::string_view key, KindOf kind_of,
                     ModelConfig& config) {
  DSV_ASSIGN(const Json* list, reader.Array(key));
  const auto main = static_cast<size_t>(config.num_hidden_layers);
  const auto draft = static_cast<size_t>(config.num_nextn_predict_layers);
  if (list->size() != main && list->size() != main + draft) {
    return reader.FailAt(key, "has {} entries, expected {} (num_hidden_layers) + {} (draft)",
                         list->size(), main, draft);
  }
  std::vector<LayerKind> layers;
  for (size_t i = 0; i < list->size(); ++i) {
    DSV_ASSIGN(const LayerKind kind, kind_of(reader, i, (*list)[i]));
    if (i < main) {
      layers.push_back(kind);
    } else if (kind != LayerKind::kSwa) {
      return reader.FailAt(key, "has {} at draft layer {}, expected no compression",
                           Shown((*list)[i]), i - main);
    }
  }
  if (!config.layers.empty() && config.layers != layers) {
    return reader.FailAt(key, "contradicts compress_ratios");
  }
  config.layers = std::move(layers);
  return {};
}

// rope_theta, compress_rope_theta and YaRN, as either layout gives them.
struct Rope {
  double theta = 0;
  double compress_theta = 0;
  YarnScaling yarn;
};

constexpr double kMinTheta = 1.0001;  // YaRN divides by the logarithm
constexpr double kMaxTheta = 1e15;

Result<std::string> RopeType(ConfigReader& reader) {
  if (!reader.Has("rope_type") && !reader.Has("type")) return reader.FailAt("type", "is missing");
  reader.Ignore({"type", "rope_type"});
  return reader.Text(reader.Has("rope_type") ? "rope_type" : "type");
}

// The keys of a {type "yarn"} or {type "default"} object (spec 3.8).
Result<YarnScaling> ReadYarn(ConfigReader& reader) {
  DSV_ASSIGN(const std::string type, RopeType(reader));
  YarnScaling yarn;
  if (type == "default") return yarn;
  if (type != "yarn") {
    return reader.FailAt("type", "is {}, expected \"yarn\"", Shown(Json(type)));
  }
  DSV_ASSIGN(yarn.factor, reader.Real("factor", 1, 1e6));
  DSV_ASSIGN(yarn.beta_fast, reader.Real("beta_fast", 1e-6, 1e6));
  DSV_ASSIGN(yarn.beta_slow, reader.Real("beta_slow", 1e-6, 1e6));
  DSV_ASSIGN(yarn.original_max_position_embeddings,
             reader.Integer("original_max_position_embeddings", 1, 1 << 30));
  if (yarn.beta_fast < yarn.beta_slow) {
    return reader.FailAt("beta_fast", "is {}, expected at least beta_slow {}", yarn.beta_fast,
                         yarn.beta_slow);
  }
  if (reader.Has("attention_factor")) DSV_TRY(reader.Real("attention_factor", 1, 1));
  return yarn;
}

Result<Rope> ReadPublishedRope(ConfigReader& reader, std::vector<std::string>& unknown_keys) {
  Rope rope;
  DSV_ASSIGN(rope.theta, reader.Real("rope_theta", kMinTheta, kMaxTheta));
  DSV_ASSIGN(rope.compress_theta, reader.Real("compress_rope_theta", kMinTheta, kMaxTheta));
  const Json* scaling = reader.Find("rope_scaling");
  if (scaling != nullptr && scaling->is_null()) return rope;
  DSV_ASSIGN(ConfigReader yarn, reader.Object("rope_scaling"));
  DSV_ASSIGN(rope.yarn, ReadYarn(yarn));
  yarn.AppendUnknown(unknown_keys);
  return rope;
}

Result<Rope> ReadTransformersRope(ConfigReader& reader, std::vector<std::string>& unknown_keys) {
  Rope rope;
  DSV_ASSIGN(ConfigReader parameters, reader.Object("rope_parameters"));
  DSV_ASSIGN(ConfigReader main, parameters.Object("main"));
  DSV_ASSIGN(ConfigReader compress, parameters.Object("compress"));
  DSV_ASSIGN(const std::string type, RopeType(main));
  if (type != "default") {
    return main.FailAt("rope_type", "is {}, expected \"default\"", Shown(Json(type)));
  }
  DSV_ASSIGN(rope.theta, main.Real("rope_theta", kMinTheta, kMaxTheta));
  DSV_ASSIGN(rope.compress_theta, compress.Real("rope_theta", kMinTheta, kMaxTheta));
  DSV_ASSIGN(rope.yarn, ReadYarn(compress));
  for (ConfigReader* section : {&main, &compress}) {
    section->Ignore({"partial_rotary_factor"});
    section->AppendUnknown(unknown_keys);
  }
  return rope;
}

// The rotated part of a head, written beside or inside rope_parameters.main; 0 if absent.
Result<double> RotaryFactor(ConfigReader& reader) {
  constexpr const char* kKey = "partial_rotary_factor";
  if (reader.Has(kKey)) return reader.Real(kKey, 1e-6, 1);
  if (!reader.Has("rope_parameters")) return 0;
  DSV_ASSIGN(ConfigReader parameters, reader.Object("rope_parameters"));
  DSV_ASSIGN(ConfigReader main, parameters.Object("main"));
  if (!main.Has(kKey)) return 0;
  return main.Real(kKey, 1e-6, 1);
}

}  // namespace

Status ReadLayers(ConfigReader& reader, ModelConfig& config) {
  if (!reader.Has("compress_ratios") && !reader.Has("layer_types")) {
    return reader.FailAt("compress_ratios", "is missing, and so is layer_types");
  }
  if (reader.Has("compress_ratios")) {
    DSV_TRY(ReadLayerList(reader, "compress_ratios", KindFromRatio, config));
  }
  if (reader.Has("layer_types")) {
    DSV_TRY(ReadLayerList(reader, "layer_types", KindFromType, config));
  }
  if (!reader.Has("compress_rates")) return {};
  DSV_ASSIGN(ConfigReader rates, reader.Object("compress_rates"));
  for (const char* key : {"csa", "compressed_sparse_attention"}) DSV_TRY(rates.Fixed(key, "4"));
  for (const char* key : {"hca", "heavily_compressed_attention"}) DSV_TRY(rates.Fixed(key, "128"));
  rates.AppendUnknown(config.unknown_keys);
  return {};
}

Status ReadHashLayers(ConfigReader& reader, ModelConfig& config) {
  const Json* types = reader.Find("mlp_layer_types");
  if (types == nullptr || reader.Has("num_hash_layers")) {
    DSV_ASSIGN(config.num_hash_layers,
               reader.Integer("num_hash_layers", 0, config.num_hidden_layers));
  }
  if (types == nullptr) return {};
  DSV_ASSIGN(types, reader.Array("mlp_layer_types"));
  const auto layers = static_cast<size_t>(config.num_hidden_layers);
  if (types->size() < layers) {
    return reader.FailAt("mlp_layer_types", "has {} entries, expected {}", types->size(), layers);
  }
  int64_t hash_layers = 0;
  for (size_t i = 0; i < layers; ++i) {
    const bool is_hash = (*types)[i] == "hash_moe";
    if (is_hash ? hash_layers != static_cast<int64_t>(i) : (*types)[i] != "moe") {
      return reader.FailAt(fmt::format("mlp_layer_types[{}]", i),
                           "is {}, expected hash_moe for the first layers and moe for the others",
                           Shown((*types)[i]));
    }
    if (is_hash) ++hash_layers;
  }
  if (reader.Has("num_hash_layers") && hash_layers != config.num_hash_layers) {
    return reader.FailAt("num_hash_layers", "is {}, but mlp_layer_types has {} hash_moe layers",
                         config.num_hash_layers, hash_layers);
  }
  config.num_hash_layers = hash_layers;
  return {};
}

Status ReadRopeDim(ConfigReader& reader, ModelConfig& config) {
  DSV_ASSIGN(const double factor, RotaryFactor(reader));
  if (factor == 0 || reader.Has("qk_rope_head_dim")) {
    DSV_ASSIGN(config.qk_rope_head_dim, reader.Integer("qk_rope_head_dim", 2, config.head_dim));
  }
  if (factor != 0) {
    const double dim = factor * static_cast<double>(config.head_dim);
    const auto rotated = static_cast<int64_t>(std::round(dim));
    if (std::abs(dim - static_cast<double>(rotated)) > 1e-3 || rotated < 2) {
      return reader.FailAt("partial_rotary_factor", "{} of head_dim {} is no dimension", factor,
                           config.head_dim);
    }
    if (reader.Has("qk_rope_head_dim") && rotated != config.qk_rope_head_dim) {
      return reader.FailAt("qk_rope_head_dim", "is {}, but partial_rotary_factor gives {}",
                           config.qk_rope_head_dim, rotated);
    }
    config.qk_rope_head_dim = rotated;
  }
  if (config.qk_rope_head_dim % 2 != 0) {
    return reader.FailAt("qk_rope_head_dim", "is {}, expected an even number",
                         config.qk_rope_head_dim);
  }
  return {};
}

Status ReadRope(ConfigReader& reader, ModelConfig& config) {
  const bool is_transformers = reader.Has("rope_parameters");
  DSV_ASSIGN(const Rope rope, is_transformers ? ReadTransformersRope(reader, config.unknown_keys)
                                              : ReadPublishedRope(reader, config.unknown_keys));
  config.rope_theta = rope.theta;
  config.compress_rope_theta = rope.compress_theta;
  config.rope_scaling = rope.yarn;
  if (!is_transformers) return {};
  reader.Ignore({"rope_scaling"});
  for (const auto& [key, value] : {std::pair("rope_theta", rope.theta),
                                   std::pair("compress_rope_theta", rope.compress_theta)}) {
    if (reader.Has(key)) DSV_TRY(reader.Real(key, value, value));
  }
  return {};
}

}  // namespace dsv
