// Stored narrow values with their power-of-two scale multiplied in, as bf16 bits: what expands a
// weight or a cached row is a table look-up, exact for every code and scale.
#pragma once

#include <cstdint>

namespace dsv {

struct Bf16Tables {
  // By E8M0 scale byte. Values below the normal range of bf16 are kept as its subnormals, which
  // dot-product instructions read as zero; values above it are infinite, NaN codes and scales NaN.
  struct alignas(64) E4m3 {
    uint8_t high[128];  // of the magnitude's bf16 bits; the sign is put in by the reader
    uint8_t low[128];
  };
  struct alignas(64) E2m1 {
    uint16_t value[32];  // of the code, twice, so that a look-up may ignore bit 4
  };
  E4m3 e4m3[256];
  E2m1 e2m1[256];
};

// Made at the first call and never changed.
const Bf16Tables& SharedBf16Tables();

}  // namespace dsv
