// The quantisers of activations and stored rows, over the lanes of simd_<isa>.h.
#pragma once

#include "kernels/kernel_table.h"
#include "tensor/number_formats.h"

namespace {

inline Vec AbsoluteLanes(Vec v) { return FloatOfBits(And(BitsOf(v), BroadcastInt(0x7FFFFFFF))); }

// The largest magnitude; NaNs do not count.
inline float AbsMaxOf(const float* x, int64_t n) {
  Vec max = Zero();
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) max = Max(AbsoluteLanes(Load(x + i)), max);
  if (i < n) max = Max(AbsoluteLanes(LoadPartial(x + i, n - i)), max);
  max = Max(ExchangeLanes<1>(max), max);
  max = Max(ExchangeLanes<2>(max), max);
  if constexpr (kLanes > 4) max = Max(ExchangeLanes<4>(max), max);
  if constexpr (kLanes > 8) max = Max(ExchangeLanes<8>(max), max);
  float lanes[kLanes];
  Store(max, lanes);
  return lanes[0];
}

// Rounds to a grid with kBits mantissa bits and equal steps below `smallest`, a power of two:
// adding and subtracting 1.5 * 2^23 steps rounds to a multiple of the step.
template <int kBits>
inline Vec RoundLanesToGrid(Vec v, float smallest) {
  constexpr int32_t kMagic = ((23 - kBits) << 23) + 0x400000;
  const Ints exponent = And(BitsOf(v), BroadcastInt(0x7F800000));
  const Ints least = BroadcastInt(__builtin_bit_cast(int32_t, smallest));
  const Vec magic = FloatOfBits(AddInts(MaxInts(exponent, least), BroadcastInt(kMagic)));
  const Vec rounded = Sub(Add(v, magic), magic);
  return FloatOfBits(Or(BitsOf(rounded), And(BitsOf(v), BroadcastInt(INT32_MIN))));
}

// x / s, clamped and rounded by the format, times s. E4M3: 3 bits; E2M1: 1 bit.
template <int kBits>
inline void QuantizeBlock(const float* x, int64_t n, float* y) {
  constexpr bool kFp8 = kBits == 3;
  constexpr float kMax = kFp8 ? dsv::kE4m3Max : dsv::kE2m1Max;
  constexpr float kFloor = kFp8 ? 1e-4F : 0x1.8p-124F;  // 6 * 2^-126
  const float max = AbsMaxOf(x, n);
  const float scale = dsv::PowerOfTwoCeil((max > kFloor ? max : kFloor) * (1.0F / kMax));
  const Vec inverse = Broadcast(1.0F / scale);
  const Vec s = Broadcast(scale);
  const auto quantize = [&](Vec v) {
    const Vec clamped = Min(Broadcast(kMax), Max(Broadcast(-kMax), Mul(v, inverse)));
    return Mul(RoundLanesToGrid<kBits>(clamped, kFp8 ? 0x1p-6F : 1.0F), s);
  };
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Store(quantize(Load(x + i)), y + i);
  if (i < n) StorePartial(quantize(LoadPartial(x + i, n - i)), y + i, n - i);
}

void QuantizeFp8(const float* x, int64_t n, int64_t block, float* y) {
  for (int64_t i = 0; i < n; i += block)
    QuantizeBlock<3>(x + i, n - i < block ? n - i : block, y + i);
}

void QuantizeFp4(const float* x, int64_t n, int64_t block, float* y) {
  for (int64_t i = 0; i < n; i += block)
    QuantizeBlock<1>(x + i, n - i < block ? n - i : block, y + i);
}

}  // namespace
