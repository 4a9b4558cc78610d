// A hook that shows intermediate values of a forward pass to tests and tools.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace dsv {

// observe(name, values, rows, width): a tensor [rows, width] of the layer that is running. Names
// are those of the fixtures' traces ("attn_norm", "q", "selected", ...). An empty function costs
// one branch per tensor. The values are valid during the call only.
using Observer =
    std::function<void(std::string_view name, const float* values, int64_t rows, int64_t width)>;

inline void Observe(const Observer& observe, std::string_view name, const float* values,
                    int64_t rows, int64_t width) {
  if (observe) observe(name, values, rows, width);
}

}  // namespace dsv
