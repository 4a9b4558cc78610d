#include "cli/bench/random_values.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace dsv::cli {
namespace {

constexpr int64_t kWords = 8;  // generators side by side, for the compiler's vectors

// Eight words become random bits, those outside `keep` cleared and `add` added in lanes of `kLane`.
template <class Lane>
void Fill(uint64_t seed, Lane keep, Lane add, std::span<std::byte> bytes) {
  constexpr size_t kLanes = kWords * sizeof(uint64_t) / sizeof(Lane);
  uint64_t state[kWords];
  for (uint64_t& word : state) {  // splitmix64
    seed += 0x9E3779B97F4A7C15U;
    uint64_t z = (seed ^ seed >> 30) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27) * 0x94D049BB133111EBU;
    word = (z ^ z >> 31) | 1;
  }
  for (size_t at = 0; at < bytes.size(); at += sizeof state) {
    for (uint64_t& word : state) {  // xorshift64
      word ^= word << 13;
      word ^= word >> 7;
      word ^= word << 17;
    }
    Lane lanes[kLanes];
    std::memcpy(lanes, state, sizeof state);
    for (Lane& lane : lanes) lane = static_cast<Lane>((lane & keep) + add);
    std::memcpy(bytes.data() + at, lanes, std::min(sizeof state, bytes.size() - at));
  }
}

// The biased exponent of values whose root mean square is `size`, if the exponent is one of four
// and the mantissa is any: the least of the four.
uint32_t LeastExponent(double size) {
  constexpr double kRms = 0.88;  // with 2^0 as the greatest of the four powers
  return static_cast<uint32_t>(127 + std::lround(std::log2(size / kRms)) - 3);
}

}  // namespace

void FillRandom(uint64_t seed, const ValueRange& range, std::span<std::byte> bytes) {
  switch (range.kind) {
    case ValueKind::kBytes:
      return Fill<uint64_t>(seed, ~uint64_t{0}, 0, bytes);
    case ValueKind::kE4M3:
      return Fill<uint8_t>(seed, 0xBF, 0, bytes);
    case ValueKind::kE8M0: {
      const auto least = static_cast<uint8_t>(126 + std::lround(std::log2(range.size)));
      return Fill<uint8_t>(seed, 1, least, bytes);
    }
    case ValueKind::kBf16:
      return Fill<uint16_t>(seed, 0x81FF, static_cast<uint16_t>(LeastExponent(range.size) << 7),
                            bytes);
    case ValueKind::kF32:
      return Fill<uint32_t>(seed, 0x81FFFFFF, LeastExponent(range.size) << 23, bytes);
    case ValueKind::kBf16NearOne:
      return Fill<uint16_t>(seed, 0x1F, 0x3F80, bytes);
    case ValueKind::kF32NearOne:
      return Fill<uint32_t>(seed, 0x1FFFFF, 0x3F800000, bytes);
  }
}

}  // namespace dsv::cli
