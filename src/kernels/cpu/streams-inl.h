// The residual streams of a token, [4, d], over the lanes of simd_<isa>.h (spec 4.3).
#pragma once

#include "kernels/cpu/exp-inl.h"
#include "kernels/kernel_table.h"

namespace {

constexpr int64_t kStreams = dsv::kHcStreams;

// Loads or stores kLanes elements, or the last few.
inline Vec LoadUpTo(const float* x, int64_t count) {
  return count >= kLanes ? Load(x) : LoadPartial(x, count);
}
inline void StoreUpTo(Vec v, float* x, int64_t count) {
  count >= kLanes ? Store(v, x) : StorePartial(v, x, count);
}

inline float SumOfStreams(const Vec (&sum)[kStreams]) {
  return Sum(Add(Add(sum[0], sum[1]), Add(sum[2], sum[3])));
}

float StreamSquares(const float* streams, int64_t d) {
  Vec sum[kStreams] = {Zero(), Zero(), Zero(), Zero()};
  for (int64_t i = 0; i < d; i += kLanes) {
    for (int64_t j = 0; j < kStreams; ++j) {
      const Vec x = LoadUpTo(streams + j * d + i, d - i);
      sum[j] = MulAdd(x, x, sum[j]);
    }
  }
  return SumOfStreams(sum);
}

template <bool kRound>
void CollapseOf(const float* streams, const float* pre, int64_t d, float* y) {
  Vec weight[kStreams];
  for (int64_t j = 0; j < kStreams; ++j) weight[j] = Broadcast(pre[j]);
  for (int64_t i = 0; i < d; i += kLanes) {
    Vec sum = Mul(weight[0], LoadUpTo(streams + i, d - i));
    for (int64_t j = 1; j < kStreams; ++j) {
      sum = MulAdd(weight[j], LoadUpTo(streams + j * d + i, d - i), sum);
    }
    StoreUpTo(kRound ? RoundLanesToBf16(sum) : sum, y + i, d - i);
  }
}

void CollapseStreams(const float* streams, const float* pre, int64_t d, bool round, float* y) {
  round ? CollapseOf<true>(streams, pre, d, y) : CollapseOf<false>(streams, pre, d, y);
}

template <bool kRound>
float MixOf(const float* u, const float* post, const float* comb, int64_t d, float* streams) {
  Vec weight[kStreams];
  Vec mix[kStreams][kStreams];
  Vec squares[kStreams];
  for (int64_t k = 0; k < kStreams; ++k) {
    weight[k] = Broadcast(post[k]);
    for (int64_t j = 0; j < kStreams; ++j) mix[j][k] = Broadcast(comb[j * kStreams + k]);
    squares[k] = Zero();
  }
  for (int64_t i = 0; i < d; i += kLanes) {
    const Vec added = LoadUpTo(u + i, d - i);
    Vec old[kStreams];
    for (int64_t j = 0; j < kStreams; ++j) old[j] = LoadUpTo(streams + j * d + i, d - i);
    for (int64_t k = 0; k < kStreams; ++k) {
      Vec sum = Mul(weight[k], added);
      for (int64_t j = 0; j < kStreams; ++j) sum = MulAdd(mix[j][k], old[j], sum);
      if (kRound) sum = RoundLanesToBf16(sum);
      squares[k] = MulAdd(sum, sum, squares[k]);
      StoreUpTo(sum, streams + k * d + i, d - i);
    }
  }
  return SumOfStreams(squares);
}

float MixStreams(const float* u, const float* post, const float* comb, int64_t d, bool round,
                 float* streams) {
  return round ? MixOf<true>(u, post, comb, d, streams) : MixOf<false>(u, post, comb, d, streams);
}

// A 4 x 4 matrix as four vectors of four floats, whatever the instruction set.
typedef float Four __attribute__((vector_size(16)));

inline void Transpose(Four (&a)[4]) {
  const Four low01 = __builtin_shufflevector(a[0], a[1], 0, 4, 1, 5);
  const Four low23 = __builtin_shufflevector(a[2], a[3], 0, 4, 1, 5);
  const Four high01 = __builtin_shufflevector(a[0], a[1], 2, 6, 3, 7);
  const Four high23 = __builtin_shufflevector(a[2], a[3], 2, 6, 3, 7);
  a[0] = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
  a[1] = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
  a[2] = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
  a[3] = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
}

// Divides every column by its sum plus eps.
inline void NormalizeColumns(Four (&a)[4], Four eps) {
  const Four sum = a[0] + a[1] + a[2] + a[3] + eps;
  for (Four& row : a) row /= sum;
}

void SinkhornMatrix(float* matrix, int64_t iterations, float eps) {
  float exponents[16];
  for (int64_t j = 0; j < 4; ++j) {
    const float* row = matrix + 4 * j;
    float max = row[0];
    for (int64_t k = 1; k < 4; ++k) max = row[k] > max ? row[k] : max;
    for (int64_t k = 0; k < 4; ++k) exponents[4 * j + k] = row[k] - max;
  }
  for (int64_t i = 0; i < 16; i += kLanes) Store(Exp(Load(exponents + i)), exponents + i);
  Four a[4];
  __builtin_memcpy(a, exponents, sizeof a);
  const Four e = {eps, eps, eps, eps};
  Transpose(a);
  const Four sum = a[0] + a[1] + a[2] + a[3];
  for (Four& column : a) column = column / sum + e;
  Transpose(a);
  NormalizeColumns(a, e);
  for (int64_t i = 1; i < iterations; ++i) {
    Transpose(a);
    NormalizeColumns(a, e);
    Transpose(a);
    NormalizeColumns(a, e);
  }
  __builtin_memcpy(matrix, a, sizeof a);
}

}  // namespace
