// Which released model a checkpoint is, told from its dimensions and tensors.
#pragma once

#include <string>

#include "checkpoint/config.h"
#include "checkpoint/weights.h"

namespace dsv {

// "DeepSeek-V4-Flash", "DeepSeek-V4-Pro-Base", "DeepSeek-V4-Flash-DSpark",
// "DeepSeek-V4-Flash (FP8 experts)", ...; "custom" for other dimensions.
std::string ModelName(const ModelConfig& config, const ModelWeights& weights);

}  // namespace dsv
