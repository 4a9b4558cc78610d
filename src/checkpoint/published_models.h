// The dimensions of the two published models that decide memory and work (spec section 1), for
// figures, tests and benches without a checkpoint.
#pragma once

#include "checkpoint/config.h"

namespace dsv {

ModelConfig FlashConfig();
ModelConfig ProConfig();

}  // namespace dsv
