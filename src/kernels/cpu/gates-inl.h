// What is applied to activations element by element, over the lanes of simd_<isa>.h: exponentials,
// router scores, SwiGLU and the pooling of compressed rows.
#pragma once

#include "kernels/cpu/exp-inl.h"
#include "kernels/cpu/rows-inl.h"
#include "kernels/kernel_table.h"

namespace {

void ExpRow(const float* x, int64_t n, float* y) {
  MapLanes(x, n, y, [](Vec v) { return Exp(v); });
}

void RouterScoreRow(const float* a, int64_t n, float* scores) {
  MapLanes(a, n, scores, [](Vec v) { return Sqrt(Softplus(v)); });
}

inline Vec SwiGluLanes(Vec g, Vec u, Vec limit, Vec minus_limit, Vec weight) {
  const Vec gate = Min(limit, g);
  const Vec up = Min(limit, Max(minus_limit, u));
  const Vec divisor = Add(Broadcast(1.0F), Exp(Sub(Zero(), gate)));
  return Mul(Mul(Div(gate, divisor), up), weight);
}

template <bool kRound>
void SwiGluRow(const float* g, const float* u, int64_t n, float limit, float weight, float* v) {
  const Vec max = Broadcast(limit);
  const Vec min = Broadcast(-limit);
  const Vec w = Broadcast(weight);
  const auto lanes = [&](Vec gate, Vec up) {
    const Vec value = SwiGluLanes(gate, up, max, min, w);
    return kRound ? RoundLanesToBf16(value) : value;
  };
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Store(lanes(Load(g + i), Load(u + i)), v + i);
  if (i < n) {
    const int64_t rest = n - i;
    StorePartial(lanes(LoadPartial(g + i, rest), LoadPartial(u + i, rest)), v + i, rest);
  }
}

void SigmoidRow(const float* x, int64_t n, float* y) {
  MapLanes(x, n, y, [](Vec v) { return Sigmoid(v); });
}

void SwiGlu(const float* g, const float* u, int64_t n, float limit, float weight, bool round,
            float* v) {
  round ? SwiGluRow<true>(g, u, n, limit, weight, v) : SwiGluRow<false>(g, u, n, limit, weight, v);
}

// `load(row)` gives the lanes of a row's channels. Rows that do not exist are skipped.
template <class LoadLanes>
inline Vec PoolLanes(const dsv::PoolJob& job, const LoadLanes& load) {
  Vec max = Broadcast(-__builtin_inff());
  for (int64_t row = 0; row < job.rows; ++row) {
    if (job.gate[row] != nullptr) max = Max(load(job.gate, row), max);
  }
  Vec weight[dsv::kMaxPoolRows];
  Vec sum = Zero();
  for (int64_t row = 0; row < job.rows; ++row) {
    if (job.gate[row] == nullptr) continue;
    weight[row] = Exp(Sub(load(job.gate, row), max));
    sum = Add(sum, weight[row]);
  }
  Vec value = Zero();
  for (int64_t row = 0; row < job.rows; ++row) {
    if (job.gate[row] == nullptr) continue;
    value = Add(value, Mul(Div(weight[row], sum), load(job.kv, row)));
  }
  return value;
}

void Pool(const dsv::PoolJob& job, float* out) {
  const int64_t half = job.overlap ? job.rows / 2 : job.rows;
  const auto at = [&](const float* const* rows, int64_t row, int64_t i) {
    return rows[row] + (row >= half ? job.width + i : i);
  };
  int64_t i = 0;
  for (; i + kLanes <= job.width; i += kLanes) {
    const auto load = [&](const float* const* rows, int64_t row) { return Load(at(rows, row, i)); };
    Store(PoolLanes(job, load), out + i);
  }
  if (i == job.width) return;
  const int64_t rest = job.width - i;
  const auto load = [&](const float* const* rows, int64_t row) {
    return LoadPartial(at(rows, row, i), rest);
  };
  StorePartial(PoolLanes(job, load), out + i, rest);
}

}  // namespace
