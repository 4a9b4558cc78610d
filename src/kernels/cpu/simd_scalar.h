// Four lanes in portable C++. See simd_avx512.h for the interface that kernels-inl.h needs.
#pragma once

#include <cstdint>

#include "tensor/number_formats.h"

namespace {

constexpr int64_t kLanes = 4;

struct Vec {
  float lane[kLanes];
};

inline Vec Zero() { return Vec{}; }

inline Vec Broadcast(float value) { return Vec{{value, value, value, value}}; }

inline Vec Load(const float* data) { return Vec{{data[0], data[1], data[2], data[3]}}; }

inline Vec LoadPartial(const float* data, int64_t count) {
  Vec v{};
  for (int64_t i = 0; i < count; ++i) v.lane[i] = data[i];
  return v;
}

inline void Store(Vec v, float* data) {
  for (int64_t i = 0; i < kLanes; ++i) data[i] = v.lane[i];
}

inline void StorePartial(Vec v, float* data, int64_t count) {
  for (int64_t i = 0; i < count; ++i) data[i] = v.lane[i];
}

inline Vec Mul(Vec a, Vec b) {
  for (int64_t i = 0; i < kLanes; ++i) a.lane[i] *= b.lane[i];
  return a;
}

inline Vec MulAdd(Vec a, Vec b, Vec c) {
  for (int64_t i = 0; i < kLanes; ++i) c.lane[i] += a.lane[i] * b.lane[i];
  return c;
}

inline float Sum(Vec v) { return (v.lane[0] + v.lane[2]) + (v.lane[1] + v.lane[3]); }

inline Vec LoadBf16(const void* data) {
  Vec v{};
  for (int64_t i = 0; i < kLanes; ++i) {
    v.lane[i] =
        dsv::Bf16ToFloat(dsv::LoadUnaligned<uint16_t>(static_cast<const char*>(data) + 2 * i));
  }
  return v;
}

inline Vec LoadE4m3(const void* data) {
  Vec v{};
  for (int64_t i = 0; i < kLanes; ++i) {
    v.lane[i] = dsv::E4m3ToFloat(static_cast<const uint8_t*>(data)[i]);
  }
  return v;
}

inline Vec LoadE2m1(const void* data) {
  Vec v{};
  for (int64_t i = 0; i < kLanes; ++i) {
    const uint8_t byte = static_cast<const uint8_t*>(data)[i / 2];
    v.lane[i] = dsv::E2m1ToFloat(i % 2 == 0 ? byte & 15U : byte >> 4U);
  }
  return v;
}

}  // namespace
