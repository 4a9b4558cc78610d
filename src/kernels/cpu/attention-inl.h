// Softmax and weighted sums of rows, over the lanes of simd_<isa>.h.
#pragma once

#include "kernels/cpu/exp-inl.h"
#include "kernels/kernel_table.h"

namespace {

inline Vec LoadSome(const float* data, int64_t count) {
  return count >= kLanes ? Load(data) : LoadPartial(data, count);
}

inline void StoreSome(Vec v, float* data, int64_t count) {
  if (count >= kLanes) {
    Store(v, data);
  } else {
    StorePartial(v, data, count);
  }
}

void MaxRows(const float* logits, int64_t stride, int64_t rows, int64_t heads, float* max) {
  for (int64_t h = 0; h < heads; h += kLanes) {
    Vec largest = LoadSome(max + h, heads - h);
    for (int64_t r = 0; r < rows; ++r) {
      largest = Max(LoadSome(logits + r * stride + h, heads - h), largest);
    }
    StoreSome(largest, max + h, heads - h);
  }
}

// kVecs vectors of heads, the last of them with `last` lanes.
template <int64_t kVecs>
inline void SoftmaxHeads(float* logits, int64_t stride, int64_t rows, int64_t last, Vec scale,
                         const float* max, bool round, float* sum) {
  Vec offset[kVecs];
  Vec total[kVecs];
  const auto lanes = [&](int64_t i) { return i + 1 < kVecs ? kLanes : last; };
  for (int64_t i = 0; i < kVecs; ++i) {
    offset[i] = Mul(LoadSome(max + i * kLanes, lanes(i)), scale);
    total[i] = Zero();
  }
  for (int64_t r = 0; r < rows; ++r, logits += stride) {
    for (int64_t i = 0; i < kVecs; ++i) {
      const Vec logit = Mul(LoadSome(logits + i * kLanes, lanes(i)), scale);
      const Vec p = Exp(Sub(logit, offset[i]));
      total[i] = Add(total[i], p);
      StoreSome(round ? RoundLanesToBf16(p) : p, logits + i * kLanes, lanes(i));
    }
  }
  for (int64_t i = 0; i < kVecs; ++i) StoreSome(total[i], sum + i * kLanes, lanes(i));
}

// The same for rows of few heads that lie without gaps: kLanes / heads rows at a time.
inline void SoftmaxDenseRows(float* logits, int64_t rows, int64_t heads, Vec scale,
                             const float* max, bool round, float* sum) {
  float lanes[kLanes];
  for (int64_t i = 0; i < kLanes; ++i) lanes[i] = max[i % heads];
  const Vec offset = Mul(Load(lanes), scale);
  Vec total = Zero();
  for (int64_t i = 0; i < rows * heads; i += kLanes) {
    const int64_t some = rows * heads - i < kLanes ? rows * heads - i : kLanes;
    const Vec p = Exp(Sub(Mul(LoadSome(logits + i, some), scale), offset));
    Store(p, lanes);
    for (int64_t h = 0; h < some; h += heads) total = Add(total, LoadPartial(lanes + h, heads));
    StoreSome(round ? RoundLanesToBf16(p) : p, logits + i, some);
  }
  StorePartial(total, sum, heads);
}

void SoftmaxRows(float* logits, int64_t stride, int64_t rows, int64_t heads, float scale,
                 const float* max, bool round, float* sum) {
  constexpr int64_t kVecs = 2;
  const Vec s = Broadcast(scale);
  if (stride == heads && heads < kLanes && kLanes % heads == 0) {
    return SoftmaxDenseRows(logits, rows, heads, s, max, round, sum);
  }
  int64_t h = 0;
  for (; h + kVecs * kLanes <= heads; h += kVecs * kLanes) {
    SoftmaxHeads<kVecs>(logits + h, stride, rows, kLanes, s, max + h, round, sum + h);
  }
  for (; h < heads; h += kLanes) {
    const int64_t some = heads - h < kLanes ? heads - h : kLanes;
    SoftmaxHeads<1>(logits + h, stride, rows, some, s, max + h, round, sum + h);
  }
}

// kCols blocks of kLanes columns of kHeads outputs.
template <int64_t kHeads, int64_t kCols>
inline void AddWeightedBlocks(const dsv::WeightedRowsJob& job, const float* p, const float* row,
                              float* out) {
  Vec sum[kHeads][kCols];
  for (int64_t h = 0; h < kHeads; ++h) {
    for (int64_t i = 0; i < kCols; ++i) sum[h][i] = Load(out + h * job.out_stride + i * kLanes);
  }
  for (int64_t r = 0; r < job.rows; ++r, p += job.p_stride, row += job.row_stride) {
    Vec weight[kHeads];
    for (int64_t h = 0; h < kHeads; ++h) weight[h] = Broadcast(p[h]);
    for (int64_t i = 0; i < kCols; ++i) {
      const Vec v = Load(row + i * kLanes);
      for (int64_t h = 0; h < kHeads; ++h) sum[h][i] = MulAdd(weight[h], v, sum[h][i]);
    }
  }
  for (int64_t h = 0; h < kHeads; ++h) {
    for (int64_t i = 0; i < kCols; ++i) Store(sum[h][i], out + h * job.out_stride + i * kLanes);
  }
}

// The last columns, fewer than kLanes.
template <int64_t kHeads>
inline void AddWeightedRest(const dsv::WeightedRowsJob& job, const float* p, const float* row,
                            int64_t count, float* out) {
  Vec sum[kHeads];
  for (int64_t h = 0; h < kHeads; ++h) sum[h] = LoadPartial(out + h * job.out_stride, count);
  for (int64_t r = 0; r < job.rows; ++r, p += job.p_stride, row += job.row_stride) {
    const Vec v = LoadPartial(row, count);
    for (int64_t h = 0; h < kHeads; ++h) sum[h] = MulAdd(Broadcast(p[h]), v, sum[h]);
  }
  for (int64_t h = 0; h < kHeads; ++h) StorePartial(sum[h], out + h * job.out_stride, count);
}

// Sixteen sums at a time: with few heads they go along the row, so that it is read in long pieces.
template <int64_t kHeads>
void AddWeightedHeads(const dsv::WeightedRowsJob& job, int64_t head) {
  constexpr int64_t kCols = 16 / kHeads;
  const float* p = job.p + head;
  float* out = job.out + head * job.out_stride;
  int64_t i = 0;
  for (; i + kCols * kLanes <= job.width; i += kCols * kLanes) {
    AddWeightedBlocks<kHeads, kCols>(job, p, job.row + i, out + i);
  }
  for (; i + kLanes <= job.width; i += kLanes) {
    AddWeightedBlocks<kHeads, 1>(job, p, job.row + i, out + i);
  }
  if (i < job.width) AddWeightedRest<kHeads>(job, p, job.row + i, job.width - i, out + i);
}

void AddWeightedRows(const dsv::WeightedRowsJob& job) {
  int64_t h = 0;
  for (; h + 8 <= job.heads; h += 8) AddWeightedHeads<8>(job, h);
  for (; h + 2 <= job.heads; h += 2) AddWeightedHeads<2>(job, h);
  if (h < job.heads) AddWeightedHeads<1>(job, h);
}

// Adding +0 takes the sign from -0, which a product with a weight of 0 may or may not leave.
void Divide(float* x, int64_t n, float divisor, bool round) {
  const Vec d = Broadcast(divisor);
  for (int64_t i = 0; i < n; i += kLanes) {
    const Vec v = Add(Div(LoadSome(x + i, n - i), d), Zero());
    StoreSome(round ? RoundLanesToBf16(v) : v, x + i, n - i);
  }
}

}  // namespace
