// The inner loops that are compiled once per instruction set.
//
// The law (design.md section 1): every result element is one sum whose order depends only on the
// length of the sum. A tile of many rows therefore gives each of them the bits that it would get
// alone. Two instruction sets may differ in the last bits.
#pragma once

#include <cstdint>

namespace dsv {

// Index scores of packed keys for several queries (spec 4.8), every rounding point included. The
// dot product of two FP4 blocks is a sum of small integers, so these scores have the same bits in
// every instruction set. `width` is a multiple of 32.
struct IndexScoreJob {
  // FP4 queries as integers: component = q * scale * 2 in blocks of 32, scale as in E8M0 / 4.
  const int8_t* q;              // [queries, heads, width], twice the E2M1 values
  const float* q_scale;         // [queries, heads, width / 32], a quarter of the scales
  const int32_t* q_correction;  // [queries, heads, width / 32], -kIndexKeyBias * sum of the block
  const float* w;               // [queries, heads]
  int64_t queries;
  int64_t heads;
  int64_t width;
  const void* keys;  // [count] rows of E2M1, width / 2 bytes, and E8M0, width / 32 bytes
  int64_t count;
  void* scratch;  // IndexScratchBytes(width), aligned to 64 bytes
  float* scores;  // [queries, score_stride], count of each row written
  int64_t score_stride;
};
// Keys are expanded to unsigned bytes: twice the E2M1 value plus this.
inline constexpr int32_t kIndexKeyBias = 12;
constexpr int64_t IndexScratchBytes(int64_t width) { return 16 * (width + width / 32 * 4); }

// Products of float weights and activations.
struct LinearKernels {
  // y[t * y_stride + i] = sum_k w[i * k + ...] * x[t * x_stride + ...] for i < outs, t < rows.
  void (*dot)(const float* w, int64_t w_stride, int64_t outs, const float* x, int64_t x_stride,
              int64_t rows, int64_t k, float* y, int64_t y_stride);

  // The same for weights whose blocks of 128 inputs have an F32 scale that is kept apart
  // (spec 3.3): y = sum_b (sum_{k in b} w x) * scale[i][b]; scale is [outs, ceil(k/128)].
  void (*dot_scaled)(const float* w, int64_t w_stride, const float* scale, int64_t outs,
                     const float* x, int64_t x_stride, int64_t rows, int64_t k, float* y,
                     int64_t y_stride);
};

// Stored elements to floats, exactly; the bytes need no alignment. BF16, E4M3 times a scale, and
// packed E2M1 with an E8M0 scale for every 32 elements (n is a multiple of 32).
struct ExpandKernels {
  void (*bf16)(const void* data, int64_t n, float* values);
  void (*e4m3)(const void* data, int64_t n, float scale, float* values);
  void (*e2m1)(const void* data, const void* scales, int64_t n, float* values);
};

struct RowKernels {
  float (*sum_of_squares)(const float* x, int64_t n);
};

struct AttentionKernels {
  // out[h * width + i] += sum_r p[h * p_stride + r] * row[r * width + i], r ascending.
  void (*add_weighted_rows)(const float* p, int64_t p_stride, int64_t heads, const float* row,
                            int64_t rows, int64_t width, float* out);
};

struct IndexKernels {
  void (*scores)(const IndexScoreJob& job);
};

struct Kernels {
  const char* name;  // of the instruction set: what DSV_ISA takes
  LinearKernels linear;
  ExpandKernels expand;
  RowKernels rows;
  AttentionKernels attention;
  IndexKernels index;
};

extern const Kernels kScalarKernels;
extern const Kernels kAvx2Kernels;    // AVX2 and FMA
extern const Kernels kAvx512Kernels;  // AVX-512F and BW
// The same with VNNI, which serves integers only: both have the same bits and share their name.
extern const Kernels kAvx512VnniKernels;
// AVX-512 with VL, DQ, VNNI, VBMI and BF16.
extern const Kernels kAvx512Bf16Kernels;
// The same and AMX tiles of BF16 and INT8.
extern const Kernels kAmxKernels;

}  // namespace dsv
