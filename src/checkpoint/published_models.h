// The configurations of the two published models (spec section 1), for figures, tests and benches
// without a checkpoint.
#pragma once

#include "checkpoint/config.h"

namespace dsv {

ModelConfig FlashConfig();
ModelConfig ProConfig();

}  // namespace dsv
