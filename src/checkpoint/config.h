// What config.json says about a DeepSeek-V4 model (spec section 1). Field names are the published
// keys; letters in comments are the symbols of the specification.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace dsv {

// Compression of the attention rows of one layer; the value is the ratio m.
enum class LayerKind : uint8_t {
  kSwa,  // m = 0: window only
  kCsa,  // m = 4: overlapping groups of 4, chosen by the indexer
  kHca,  // m = 128: groups of 128, all attended
};
int64_t CompressRatio(LayerKind kind);  // 0, 4 or 128
std::string_view LayerKindName(LayerKind kind);

struct YarnScaling {
  double factor = 1;
  double beta_fast = 32;
  double beta_slow = 1;
  int64_t original_max_position_embeddings = 0;  // 0: no YaRN
};

struct ModelConfig {
  int64_t vocab_size = 0;                // V
  int64_t hidden_size = 0;               // d
  int64_t num_hidden_layers = 0;         // L
  int64_t num_attention_heads = 0;       // H
  int64_t head_dim = 0;                  // c
  int64_t qk_rope_head_dim = 0;          // the last components of a head, rotated
  int64_t q_lora_rank = 0;               // r
  int64_t o_groups = 0;                  // G
  int64_t o_lora_rank = 0;               // o, per group
  int64_t moe_intermediate_size = 0;     // I
  int64_t n_routed_experts = 0;          // E
  int64_t num_experts_per_tok = 0;       // K
  int64_t num_hash_layers = 0;           // the first layers route by token id
  int64_t num_nextn_predict_layers = 0;  // 1: an MTP block; 3: a DSpark draft (appendix C)
  int64_t sliding_window = 0;            // W
  int64_t index_n_heads = 0;             // Hi
  int64_t index_head_dim = 0;            // ci
  int64_t index_topk = 0;                // kt
  int64_t hc_mult = 0;                   // n, residual streams
  int64_t hc_sinkhorn_iters = 0;
  int64_t max_position_embeddings = 0;
  int64_t bos_token_id = 0;
  int64_t eos_token_id = 0;
  double routed_scaling_factor = 1;  // rs
  double swiglu_limit = 0;
  double hc_eps = 0;
  double rms_norm_eps = 0;
  double rope_theta = 0;           // SWA layers and MTP, never with YaRN
  double compress_rope_theta = 0;  // CSA and HCA layers, with `rope_scaling`
  YarnScaling rope_scaling;
  std::vector<LayerKind> layers;          // one per main layer, from compress_ratios or layer_types
  std::vector<std::string> unknown_keys;  // of config.json, in file order; reported by inspect
};

// Parses either published layout (spec 1.1 and 1.4). `source` names the text in error messages.
// Refuses V4.1 by name, unknown rope types, missing keys and values that no V4 model has.
Result<ModelConfig> ParseConfig(std::string_view json, const std::string& source);

// Reads DIR/config.json.
Result<ModelConfig> LoadConfig(const std::filesystem::path& directory);

// Sampling defaults of generation_config.json; absent file or keys leave the defaults.
struct GenerationConfig {
  bool do_sample = true;
  double temperature = 1.0;
  double top_p = 1.0;
  int64_t top_k = 0;  // 0: off
  double min_p = 0.0;
  double repetition_penalty = 1.0;
  std::vector<int64_t> eos_token_ids;
};
Result<GenerationConfig> LoadGenerationConfig(const std::filesystem::path& directory);

}  // namespace dsv
