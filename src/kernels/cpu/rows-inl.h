// What is done to single rows of activations, over the lanes of simd_<isa>.h: norms, sums,
// roundings.
#pragma once

#include "kernels/kernel_table.h"
#include "tensor/number_formats.h"

namespace {

// y[i] = f(x[i])
template <class Function>
inline void MapLanes(const float* x, int64_t n, float* y, const Function& f) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Store(f(Load(x + i)), y + i);
  if (i < n) StorePartial(f(LoadPartial(x + i, n - i)), y + i, n - i);
}

// The sum of f(x[i]): four sums of lanes side by side, added as a tree.
template <class Function>
inline float SumOfLanes(const float* x, int64_t n, const Function& f) {
  Vec sum[4] = {Zero(), Zero(), Zero(), Zero()};
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    for (int64_t s = 0; s < 4; ++s) sum[s] = Add(sum[s], f(Load(x + i + s * kLanes)));
  }
  for (int64_t s = 0; i < n; i += kLanes, ++s) {
    const Vec v = i + kLanes <= n ? Load(x + i) : LoadPartial(x + i, n - i);
    sum[s] = Add(sum[s], f(v));
  }
  return Sum(Add(Add(sum[0], sum[1]), Add(sum[2], sum[3])));
}

float SumOfSquares(const float* x, int64_t n) {
  return SumOfLanes(x, n, [](Vec v) { return Mul(v, v); });
}

void RoundRowToBf16(float* x, int64_t n) {
  MapLanes(x, n, x, [](Vec v) { return RoundLanesToBf16(v); });
}

// Elements of a stored vector, BF16 or F32, that begin at element i.
template <bool kBf16>
inline Vec LoadStored(const void* data, int64_t i) {
  if constexpr (kBf16) return LoadBf16(static_cast<const uint8_t*>(data) + 2 * i);
  Vec v;
  __builtin_memcpy(&v, static_cast<const uint8_t*>(data) + 4 * i, sizeof v);
  return v;
}

template <bool kBf16>
inline Vec LoadStoredPartial(const void* data, int64_t i, int64_t count) {
  constexpr int64_t kSize = kBf16 ? 2 : 4;
  uint8_t bytes[kLanes * kSize] = {};
  __builtin_memcpy(bytes, static_cast<const uint8_t*>(data) + kSize * i,
                   static_cast<uint64_t>(count * kSize));
  return LoadStored<kBf16>(bytes, 0);
}

// y[i] = f(x[i], w[i])
template <bool kBf16, class Function>
inline void MapWithStored(const float* x, const void* w, int64_t n, float* y, const Function& f) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Store(f(Load(x + i), LoadStored<kBf16>(w, i)), y + i);
  if (i == n) return;
  const int64_t rest = n - i;
  StorePartial(f(LoadPartial(x + i, rest), LoadStoredPartial<kBf16>(w, i, rest)), y + i, rest);
}

inline float InverseRms(float sum_of_squares, int64_t n, float eps) {
  return 1.0F / __builtin_sqrtf(sum_of_squares / static_cast<float>(n) + eps);
}

template <bool kBf16, bool kRound>
void RmsNormOf(const dsv::RmsNormJob& job, Vec rho) {
  MapWithStored<kBf16>(job.x, job.weight, job.n, job.y, [&](Vec x, Vec w) {
    const Vec y = Mul(w, Mul(x, rho));
    return kRound ? RoundLanesToBf16(y) : y;
  });
}

void RmsNormRow(const dsv::RmsNormJob& job) {
  const Vec rho = Broadcast(InverseRms(SumOfSquares(job.x, job.n), job.n, job.eps));
  if (job.bf16_weight) {
    job.round ? RmsNormOf<true, true>(job, rho) : RmsNormOf<true, false>(job, rho);
  } else {
    job.round ? RmsNormOf<false, true>(job, rho) : RmsNormOf<false, false>(job, rho);
  }
}

// With `round` every step is a bf16 operation (spec 4.4).
void HeadNormRow(float* q, int64_t n, float eps, bool round) {
  if (!round) {
    const Vec rho = Broadcast(InverseRms(SumOfSquares(q, n), n, eps));
    return MapLanes(q, n, q, [&](Vec v) { return Mul(v, rho); });
  }
  const float sum = SumOfLanes(q, n, [](Vec v) { return RoundLanesToBf16(Mul(v, v)); });
  const float mean = dsv::RoundBf16(sum / static_cast<float>(n));
  const float shifted = dsv::RoundBf16(mean + eps);
  const Vec scale = Broadcast(dsv::RoundBf16(1.0F / __builtin_sqrtf(shifted)));
  MapLanes(q, n, q, [&](Vec v) { return RoundLanesToBf16(Mul(v, scale)); });
}

void AddStored(const void* w, bool bf16, int64_t n, float* x) {
  const auto add = [](Vec a, Vec b) { return Add(a, b); };
  bf16 ? MapWithStored<true>(x, w, n, x, add) : MapWithStored<false>(x, w, n, x, add);
}

template <bool kRound>
void SumRowsOf(const float* const* rows, int64_t count, int64_t n, float* y) {
  const auto finish = [](Vec v) { return kRound ? RoundLanesToBf16(v) : v; };
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Vec sum = Load(rows[0] + i);
    for (int64_t r = 1; r < count; ++r) sum = Add(sum, Load(rows[r] + i));
    Store(finish(sum), y + i);
  }
  if (i == n) return;
  const int64_t rest = n - i;
  Vec sum = LoadPartial(rows[0] + i, rest);
  for (int64_t r = 1; r < count; ++r) sum = Add(sum, LoadPartial(rows[r] + i, rest));
  StorePartial(finish(sum), y + i, rest);
}

void SumRows(const float* const* rows, int64_t count, int64_t n, bool round, float* y) {
  round ? SumRowsOf<true>(rows, count, n, y) : SumRowsOf<false>(rows, count, n, y);
}

}  // namespace
