// Stored elements to floats, over the lanes of simd_<isa>.h.
#pragma once

#include "kernels/kernel_table.h"
#include "tensor/number_formats.h"

namespace {

void ExpandBf16(const void* data, int64_t n, float* values) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Store(LoadBf16(bytes + 2 * i), values + i);
  for (; i < n; ++i) {
    uint16_t bits = 0;
    __builtin_memcpy(&bits, bytes + 2 * i, 2);
    values[i] = dsv::Bf16ToFloat(bits);
  }
}

void ExpandE4m3(const void* data, int64_t n, float scale, float* values) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  const Vec s = Broadcast(scale);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Store(Mul(LoadE4m3(bytes + i), s), values + i);
  for (; i < n; ++i) values[i] = dsv::E4m3ToFloat(bytes[i]) * scale;
}

void ExpandE2m1(const void* data, const void* scales, int64_t n, float* values) {
  constexpr int64_t kBlock = 32;
  const auto* bytes = static_cast<const uint8_t*>(data);
  for (int64_t block = 0; block < n / kBlock; ++block) {
    const Vec s = Broadcast(dsv::E8m0ToFloat(static_cast<const uint8_t*>(scales)[block]));
    for (int64_t i = block * kBlock; i < (block + 1) * kBlock; i += kLanes) {
      Store(Mul(LoadE2m1(bytes + i / 2), s), values + i);
    }
  }
}

}  // namespace
