// What is done to single rows of activations, over the lanes of simd_<isa>.h.
#pragma once

#include "kernels/cpu/linear-inl.h"
#include "kernels/kernel_table.h"

namespace {

float SumOfSquares(const float* x, int64_t n) {
  Vec sum[1][1] = {{Zero()}};
  Accumulate<1, 1>(x, 0, x, 0, 0, n, sum);
  return Sum(sum[0][0]);
}

}  // namespace
