#include "checkpoint/published_models.h"

namespace dsv {
namespace {

// What both have in common, and their pattern of layers: CSA and HCA in turn after two of `first`.
ModelConfig Common(int64_t layers, LayerKind first) {
  ModelConfig config;
  config.vocab_size = 129280;
  config.num_hidden_layers = layers;
  config.head_dim = 512;
  config.qk_rope_head_dim = 64;
  config.o_lora_rank = 1024;
  config.num_experts_per_tok = 6;
  config.num_hash_layers = 3;
  config.num_nextn_predict_layers = 1;
  config.sliding_window = 128;
  config.index_n_heads = 64;
  config.index_head_dim = 128;
  config.hc_mult = 4;
  config.hc_sinkhorn_iters = 20;
  config.max_position_embeddings = 1 << 20;
  config.eos_token_id = 1;
  config.swiglu_limit = 10;
  config.hc_eps = 1e-6;
  config.rms_norm_eps = 1e-6;
  config.rope_theta = 10000;
  config.compress_rope_theta = 160000;
  config.rope_scaling = {16, 32, 1, 65536};
  for (int64_t i = 0; i < layers; ++i) {
    const LayerKind other = i % 2 == 0 ? LayerKind::kCsa : LayerKind::kHca;
    config.layers.push_back(i < 2 ? first : other);
  }
  return config;
}

}  // namespace

ModelConfig FlashConfig() {
  ModelConfig config = Common(43, LayerKind::kSwa);
  config.hidden_size = 4096;
  config.num_attention_heads = 64;
  config.q_lora_rank = 1024;
  config.o_groups = 8;
  config.moe_intermediate_size = 2048;
  config.n_routed_experts = 256;
  config.index_topk = 512;
  config.routed_scaling_factor = 1.5;
  return config;
}

ModelConfig ProConfig() {
  ModelConfig config = Common(61, LayerKind::kHca);
  config.hidden_size = 7168;
  config.num_attention_heads = 128;
  config.q_lora_rank = 1536;
  config.o_groups = 16;
  config.moe_intermediate_size = 3072;
  config.n_routed_experts = 384;
  config.index_topk = 1024;
  config.routed_scaling_factor = 2.5;
  return config;
}

}  // namespace dsv
