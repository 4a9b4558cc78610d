// Rotations of rows, over the lanes of simd_<isa>.h: RoPE and Hadamard.
#pragma once

#include "kernels/kernel_table.h"
#include "tensor/number_formats.h"

namespace {

// (a, b) -> (a cos - b sin, b cos + a sin): `sin` holds -sin for the first of a pair.
template <bool kRound>
void RotatePairsOf(const float* cos, const float* sin, int64_t n, float direction, float* x) {
  const Vec sign = Broadcast(direction);
  const auto rotate = [&](Vec v, Vec c, Vec s) {
    const Vec rotated = Add(Mul(v, c), Mul(ExchangeLanes<1>(v), Mul(s, sign)));
    return kRound ? RoundLanesToBf16(rotated) : rotated;
  };
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Store(rotate(Load(x + i), Load(cos + i), Load(sin + i)), x + i);
  }
  if (i == n) return;
  const int64_t rest = n - i;
  StorePartial(
      rotate(LoadPartial(x + i, rest), LoadPartial(cos + i, rest), LoadPartial(sin + i, rest)),
      x + i, rest);
}

void RotatePairs(const float* cos, const float* sin, int64_t n, bool back, bool round, float* x) {
  const float direction = back ? -1.0F : 1.0F;
  round ? RotatePairsOf<true>(cos, sin, n, direction, x)
        : RotatePairsOf<false>(cos, sin, n, direction, x);
}

// Lane i of the sum or difference of the lanes i and i ^ kDistance.
template <int64_t kDistance>
inline Vec Butterfly(Vec v) {
  float signs[kLanes];
  for (int64_t i = 0; i < kLanes; ++i) signs[i] = (i & kDistance) == 0 ? 1.0F : -1.0F;
  return Add(ExchangeLanes<kDistance>(v), Mul(v, Load(signs)));
}

inline Vec ButterflyLanes(Vec v) {
  v = Butterfly<2>(Butterfly<1>(v));
  if constexpr (kLanes > 4) v = Butterfly<4>(v);
  if constexpr (kLanes > 8) v = Butterfly<8>(v);
  return v;
}

inline float ScaleOfHadamard(int64_t n) {
  return static_cast<float>(1.0 / __builtin_sqrt(static_cast<double>(n)));
}

// n < kLanes
void HadamardScalar(float* x, int64_t n, bool round) {
  for (int64_t half = 1; half < n; half *= 2) {
    for (int64_t i = 0; i < n; ++i) {
      if ((i & half) != 0) continue;
      const float a = x[i];
      const float b = x[i + half];
      x[i] = a + b;
      x[i + half] = a - b;
    }
  }
  const float scale = ScaleOfHadamard(n);
  for (int64_t i = 0; i < n; ++i) x[i] = round ? dsv::RoundBf16(x[i] * scale) : x[i] * scale;
}

template <int64_t kCount>
void HadamardOf(float* x, bool round) {
  Vec v[kCount];
  for (int64_t i = 0; i < kCount; ++i) v[i] = ButterflyLanes(Load(x + i * kLanes));
  for (int64_t half = 1; half < kCount; half *= 2) {
    for (int64_t i = 0; i < kCount; ++i) {
      if ((i & half) != 0) continue;
      const Vec a = v[i];
      v[i] = Add(a, v[i + half]);
      v[i + half] = Sub(a, v[i + half]);
    }
  }
  const Vec scale = Broadcast(ScaleOfHadamard(kCount * kLanes));
  for (int64_t i = 0; i < kCount; ++i) {
    const Vec scaled = Mul(v[i], scale);
    Store(round ? RoundLanesToBf16(scaled) : scaled, x + i * kLanes);
  }
}

void HadamardRow(float* x, int64_t n, bool round) {
  if (n < kLanes) return HadamardScalar(x, n, round);
  if (n == 128) return HadamardOf<128 / kLanes>(x, round);
  for (int64_t i = 0; i < n; i += kLanes) Store(ButterflyLanes(Load(x + i)), x + i);
  for (int64_t half = kLanes; half < n; half *= 2) {
    for (int64_t i = 0; i < n; i += kLanes) {
      if ((i & half) != 0) continue;
      const Vec a = Load(x + i);
      const Vec b = Load(x + i + half);
      Store(Add(a, b), x + i);
      Store(Sub(a, b), x + i + half);
    }
  }
  const Vec scale = Broadcast(ScaleOfHadamard(n));
  for (int64_t i = 0; i < n; i += kLanes) {
    const Vec scaled = Mul(Load(x + i), scale);
    Store(round ? RoundLanesToBf16(scaled) : scaled, x + i);
  }
}

}  // namespace
