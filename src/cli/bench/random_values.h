// Random stored values of the formats of a checkpoint, made as fast as memory takes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace dsv::cli {

enum class ValueKind : uint8_t {
  kBytes,        // any: packed E2M1
  kE4M3,         // below 2, no NaN
  kE8M0,         // `size`, rounded to a power of two, or half of it
  kBf16,         // both signs, a root mean square near `size`
  kF32,          // the same
  kBf16NearOne,  // 1 to 1.25: weights of norms
  kF32NearOne,
};

struct ValueRange {
  ValueKind kind = ValueKind::kBytes;
  double size = 1;
};

// Root mean squares of kBytes read as E2M1 and of kE4M3.
inline constexpr double kRmsE2M1 = 2.93;
inline constexpr double kRmsE4M3 = 0.61;

// The same bytes for the same seed. `bytes` needs no alignment.
void FillRandom(uint64_t seed, const ValueRange& range, std::span<std::byte> bytes);

}  // namespace dsv::cli
