// The dimensions of the two published models that cost formulas need (spec section 1), for figures
// that are drawn without a checkpoint.
#pragma once

#include "checkpoint/config.h"

namespace dsv::cli {

ModelConfig FlashConfig();
ModelConfig ProConfig();

}  // namespace dsv::cli
