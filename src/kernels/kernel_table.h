// The inner loops that are compiled once per instruction set.
//
// The law (design.md section 1): every result element is one sum whose order depends only on the
// length of the sum. A tile of many rows therefore gives each of them the bits that it would get
// alone. Two instruction sets may differ in the last bits.
#pragma once

#include <cstdint>

namespace dsv {

struct Kernels {
  const char* name;  // "scalar", "avx2", "avx512"

  // y[t * y_stride + i] = sum_k w[i * k + ...] * x[t * x_stride + ...] for i < outs, t < rows.
  void (*dot)(const float* w, int64_t w_stride, int64_t outs, const float* x, int64_t x_stride,
              int64_t rows, int64_t k, float* y, int64_t y_stride);

  // The same for weights whose blocks of 128 inputs have an F32 scale that is kept apart
  // (spec 3.3): y = sum_b (sum_{k in b} w x) * scale[i][b]; scale is [outs, ceil(k/128)].
  void (*dot_scaled)(const float* w, int64_t w_stride, const float* scale, int64_t outs,
                     const float* x, int64_t x_stride, int64_t rows, int64_t k, float* y,
                     int64_t y_stride);

  // out[h * width + i] += sum_r p[h * p_stride + r] * row[r * width + i], r ascending.
  void (*add_weighted_rows)(const float* p, int64_t p_stride, int64_t heads, const float* row,
                            int64_t rows, int64_t width, float* out);

  // Stored elements to floats, exactly; the bytes need no alignment. BF16, E4M3 times a scale, and
  // packed E2M1 with an E8M0 scale for every 32 elements (n is a multiple of 32).
  void (*expand_bf16)(const void* data, int64_t n, float* values);
  void (*expand_e4m3)(const void* data, int64_t n, float scale, float* values);
  void (*expand_e2m1)(const void* data, const void* scales, int64_t n, float* values);

  float (*sum_of_squares)(const float* x, int64_t n);
};

extern const Kernels kScalarKernels;
extern const Kernels kAvx2Kernels;    // AVX2 and FMA
extern const Kernels kAvx512Kernels;  // AVX-512F

}  // namespace dsv
