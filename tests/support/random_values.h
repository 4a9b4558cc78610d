// Seeded inputs of tests. The generator is fixed, so that a failure can be repeated anywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace dsv::testing {

// Uniform in [-1, 1).
inline std::vector<float> RandomFloats(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values(n);
  for (float& value : values) {
    value = static_cast<float>(random() >> 8U) * 0x1p-23F - 1.0F;
  }
  return values;
}

inline std::vector<uint8_t> RandomBytes(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> bytes(n);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random() >> 24U);
  return bytes;
}

inline std::vector<double> ToDouble(const std::vector<float>& x) { return {x.begin(), x.end()}; }

}  // namespace dsv::testing
