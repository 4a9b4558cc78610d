// The parts of config.json that the two published layouts spell differently: compress_ratios,
// num_hash_layers, qk_rope_head_dim and rope_scaling (spec 1.1), or layer_types, mlp_layer_types,
// partial_rotary_factor and rope_parameters (spec 1.4). Where both are given they must agree.
#pragma once

#include "base/result.h"
#include "checkpoint/config.h"
#include "checkpoint/config_reader.h"

namespace dsv {

// These read num_hidden_layers, num_nextn_predict_layers and head_dim of `config`.
Status ReadLayers(ConfigReader& reader, ModelConfig& config);
Status ReadHashLayers(ConfigReader& reader, ModelConfig& config);
Status ReadRopeDim(ConfigReader& reader, ModelConfig& config);
Status ReadRope(ConfigReader& reader, ModelConfig& config);

}  // namespace dsv
