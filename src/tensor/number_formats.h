// Scalar conversions of the number formats of spec section 2.4 and 3. A value of a narrow format is
// carried in a float; every conversion to it rounds to nearest, ties to even.
//
// The functions are static on purpose: files compiled for different instruction sets each get their
// own copy, so the linker can never keep the wide one for everybody. Those that such files use call
// nothing of the standard library for the same reason.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace dsv {

inline constexpr float kE4m3Max = 448.0F;
inline constexpr float kE2m1Max = 6.0F;

static constexpr float Bf16ToFloat(uint16_t bits) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16);
}

static inline uint16_t FloatToBf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<uint16_t>((bits >> 16) | 0x40U);
  return static_cast<uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

// b16(x) of the specification. Written without a branch so that loops over it vectorise; a NaN
// stays a NaN because its mantissa is set before the rounding carry can reach the exponent.
static inline float RoundBf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7FFFU + ((bits >> 16) & 1U)) & 0xFFFF0000U;
  const bool nan = (bits & 0x7FFFFFFFU) > 0x7F800000U;
  return std::bit_cast<float>(nan ? (bits | 0x00400000U) & 0xFFFF0000U : rounded);
}

// 2^(byte - 127). Byte 0 is an fp32 subnormal, 255 is NaN.
static constexpr float E8m0ToFloat(uint8_t byte) {
  if (byte == 0) return __builtin_bit_cast(float, 0x00400000U);
  if (byte == 255) return __builtin_nanf("");
  return __builtin_bit_cast(float, static_cast<uint32_t>(byte) << 23);
}

// Without branches, so that loops over it vectorise.
static constexpr float E4m3ToFloat(uint8_t byte) {
  const uint32_t magnitude = byte & 0x7FU;
  const uint32_t normal = (magnitude << 20) + (120U << 23);
  const auto subnormal = __builtin_bit_cast(uint32_t, static_cast<float>(magnitude) * 0x1p-9F);
  const uint32_t finite = magnitude < 8 ? subnormal : normal;
  const uint32_t bits = magnitude == 0x7FU ? 0x7FC00000U : finite;
  return __builtin_bit_cast(float, bits | (byte & 0x80U) << 24);
}

static constexpr float E2m1ToFloat(uint8_t code) {
  const uint32_t magnitude = code & 7U;
  const uint32_t normal = (magnitude << 22) + (126U << 23);
  const uint32_t subnormal = magnitude == 1 ? 0x3F000000U : 0U;  // 0.5 or 0
  const uint32_t bits = magnitude < 2 ? subnormal : normal;
  return __builtin_bit_cast(float, bits | (code & 8U) << 28);
}

// Rounds a magnitude to a grid with `kBits` mantissa bits above `smallest_normal` and equal steps
// below it. Adding and subtracting 1.5 * 2^23 steps rounds to a multiple of the step. A NaN, whose
// mantissa could carry into the sign, takes that way too and stays a NaN.
template <int kBits>
static inline float RoundToGrid(float value, float smallest_normal) {
  constexpr uint32_t kDrop = 23 - kBits;
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t half = (1U << (kDrop - 1)) - 1U;
  const float normal =
      std::bit_cast<float>((bits + half + ((bits >> kDrop) & 1U)) & ~((1U << kDrop) - 1U));
  const float magic = smallest_normal * (1.5F * static_cast<float>(1U << kDrop));
  const float subnormal = std::copysign((value + magic) - magic, value);
  return std::fabs(value) >= smallest_normal ? normal : subnormal;
}

// For |value| <= 448: the nearest E4M3 value, subnormals kept.
static inline float RoundE4m3(float value) { return RoundToGrid<3>(value, 0x1p-6F); }

// For |value| <= 6: the nearest E2M1 value.
static inline float RoundE2m1(float value) { return RoundToGrid<1>(value, 1.0F); }

// The codes of values that the format holds exactly; a NaN stays one in E4M3.
static inline uint8_t E4m3FromExact(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t magnitude = bits & 0x7FFFFFFFU;
  const auto sign = static_cast<uint8_t>(bits >> 24 & 0x80U);
  if (magnitude > 0x7F800000U) return static_cast<uint8_t>(sign | 0x7FU);
  const float absolute = std::bit_cast<float>(magnitude);
  const uint32_t code = absolute < 0x1p-6F ? static_cast<uint32_t>(absolute * 512.0F)
                                           : (magnitude >> 20) - (120U << 3);
  return static_cast<uint8_t>(sign | code);
}

static inline uint8_t E2m1FromExact(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t magnitude = bits & 0x7FFFFFFFU;
  const float absolute = std::bit_cast<float>(magnitude);
  const uint32_t code =
      absolute < 1.0F ? static_cast<uint32_t>(absolute * 2.0F) : (magnitude >> 22) - (126U << 1);
  return static_cast<uint8_t>((bits >> 28 & 8U) | code);
}

// The byte of a power of two in the range of E8M0; infinities and NaNs become its NaN.
static inline uint8_t E8m0FromExact(float value) {
  return static_cast<uint8_t>(std::bit_cast<uint32_t>(value) >> 23);
}

// 2^ceil(log2(value)) for a positive normal value, from its bits (spec 3.2).
static inline float PowerOfTwoCeil(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return std::bit_cast<float>((bits + 0x007FFFFFU) & 0x7F800000U);
}

// One element of a stored tensor, which has no alignment.
template <class T>
static inline T LoadUnaligned(const void* data) {
  T value;
  std::memcpy(&value, data, sizeof value);
  return value;
}

}  // namespace dsv
