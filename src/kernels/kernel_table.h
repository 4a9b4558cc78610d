// The inner loops that are compiled once per instruction set.
//
// The law (design.md section 1): every result element is one sum whose order depends only on the
// length of the sum. A tile of many rows therefore gives each of them the bits that it would get
// alone. Two instruction sets may differ in the last bits.
#pragma once

#include <cstdint>

#include "kernels/bf16_tables.h"
#include "kernels/index_kernels.h"
#include "tensor/matrix_view.h"

namespace dsv {

// Some outputs of y = W x for rows of activations (spec 2.5, 3.3, 3.4). Weights are expanded from
// the bytes of the checkpoint as they are multiplied. `rows` and the outputs that share a panel
// change no bit of an element.
struct LinearPanel {
  const MatrixView* weight;
  int64_t first;  // outputs [first, first + outs)
  int64_t outs;
  bool round_weight;  // to bf16
  bool keep_scale;    // kFp8F32: block sums are multiplied by the scale (spec 3.3)
  const void* x;      // float rows, or what `pack` made of them
  int64_t x_stride;   // of float rows
  int64_t rows;
  float* y;  // y[t * y_stride + i] for output first + i
  int64_t y_stride;
  bool round_y;   // to bf16
  void* scratch;  // scratch_bytes(rows, in), aligned to 64 bytes
};

inline constexpr int64_t kPanelRows = 512;
struct PanelKernels {
  // The most outputs of a panel of so many rows, a multiple of 16; rows are at most kPanelRows.
  int64_t (*panel_outs)(int64_t rows);
  // Null: panels take float rows.
  int64_t (*pack_bytes)(int64_t rows, int64_t in);
  // Rows [first, first + count) of x, strides in elements; `first` is a multiple of kTileSize.
  void (*pack)(const float* x, int64_t x_stride, int64_t rows, int64_t in, int64_t first,
               int64_t count, void* packed);
  int64_t (*scratch_bytes)(int64_t rows, int64_t in);
  void (*panel)(const LinearPanel& panel, const Bf16Tables& tables);
};

// Products of float rows.
struct LinearKernels {
  PanelKernels panels;
  // y[t * y_stride + i] = sum_k w[i * k + ...] * x[t * x_stride + ...] for i < outs, t < rows.
  void (*dot)(const float* w, int64_t w_stride, int64_t outs, const float* x, int64_t x_stride,
              int64_t rows, int64_t k, float* y, int64_t y_stride);
};

// Stored elements to floats, exactly; the bytes need no alignment. BF16, E4M3 times a scale, and
// packed E2M1 with an E8M0 scale for every 32 elements (n is a multiple of 32).
struct ExpandKernels {
  void (*bf16)(const void* data, int64_t n, float* values);
  void (*e4m3)(const void* data, int64_t n, float scale, float* values);
  void (*e2m1)(const void* data, const void* scales, int64_t n, float* values);
  // Inputs [begin, begin + count) of a row of a matrix, its scales multiplied in; `begin` is a
  // multiple of 128. With `unscaled` the values of a kFp8F32 matrix come without their scale.
  void (*row_part)(const MatrixView& matrix, int64_t row, int64_t begin, int64_t count,
                   bool unscaled, float* values);
};

// Pools one group, channel by channel: softmax of the gates over the rows, weighted sum of the
// values (spec 4.6). `kv[i]` and `gate[i]` point at row i of the group; where groups overlap the
// first half of the rows is the previous group (channels [0, width)) and the second half the
// current one (channels [width, 2 width)). Both pointers are null for a row that does not exist.
struct PoolJob {
  const float* const* kv;
  const float* const* gate;
  int64_t rows;
  bool overlap;
  int64_t width;
};
inline constexpr int64_t kMaxPoolRows = 128;

// Element by element; results may be written over arguments.
struct GateKernels {
  // y = e^x within 0.8 ulp (cpu/exp-inl.h).
  void (*exp)(const float* x, int64_t n, float* y);
  void (*sigmoid)(const float* x, int64_t n, float* y);
  // sqrt(softplus(a))
  void (*router_scores)(const float* a, int64_t n, float* scores);
  // v = (g * sigmoid(g)) * u * weight with g clamped to [, limit] and u to [-limit, limit]; rounded
  // with b16 if `round`.
  void (*swiglu)(const float* g, const float* u, int64_t n, float limit, float weight, bool round,
                 float* v);
  void (*pool)(const PoolJob& job, float* out);
};

// y = w * (x * rho), rho = 1 / sqrt(mean(x^2) + eps), rounded with b16 if `round`. y may be x.
struct RmsNormJob {
  const float* x;
  int64_t n;
  const void* weight;  // stored elements, BF16 or F32, without alignment
  bool bf16_weight;
  float eps;
  bool round;
  float* y;
};

// What is done to one row of n activations.
struct RowKernels {
  float (*sum_of_squares)(const float* x, int64_t n);
  void (*round_bf16)(float* x, int64_t n);
  void (*rms_norm)(const RmsNormJob& job);
  // The norm of a query head without a weight, in place; with `round` in bf16 operations (4.4).
  void (*head_norm)(float* q, int64_t n, float eps, bool round);
  // x += stored elements, BF16 or F32.
  void (*add_stored)(const void* w, bool bf16, int64_t n, float* x);
  // y = rows[0] + rows[1] + ..., in this order, then b16 if `round`; count >= 1.
  void (*sum_rows)(const float* const* rows, int64_t count, int64_t n, bool round, float* y);
  // Rotates x[n] by pairs; cos and sin are [n], of pair i at 2 i and 2 i + 1, sin with a minus at
  // 2 i. `back` rotates by the negative angles.
  void (*rotate)(const float* cos, const float* sin, int64_t n, bool back, bool round, float* x);
  // The orthonormal Hadamard rotation of x[n], n a power of two.
  void (*hadamard)(float* x, int64_t n, bool round);
};

// Values after quantisation in blocks with power-of-two scales (spec 3.2, 3.5, 3.6). y may be x.
// The bits are those of the scalar definition, whatever the instruction set.
struct QuantKernels {
  void (*fp8)(const float* x, int64_t n, int64_t block, float* y);
  void (*fp4)(const float* x, int64_t n, int64_t block, float* y);
};

// The residual streams of one token, [kHcStreams, d] (spec 4.3).
inline constexpr int64_t kHcStreams = 4;
struct StreamKernels {
  float (*sum_of_squares)(const float* streams, int64_t d);
  // y = sum_j pre[j] X_j
  void (*collapse)(const float* streams, const float* pre, int64_t d, bool round, float* y);
  // X_k <- post[k] u + sum_j comb[j][k] X_j, in place; returns the sum_of_squares of the result.
  float (*mix)(const float* u, const float* post, const float* comb, int64_t d, bool round,
               float* streams);
  // Step 5 of section 4.3 on a[4, 4].
  void (*sinkhorn)(float* a, int64_t iterations, float eps);
};

// Weighted sums of rows: out[h][i] += sum_r p[r][h] * row[r][i], r ascending.
struct WeightedRowsJob {
  const float* p;  // [rows, heads]
  int64_t p_stride;
  const float* row;  // [rows, width]
  int64_t row_stride;
  float* out;  // [heads, width]
  int64_t out_stride;
  int64_t heads;
  int64_t rows;
  int64_t width;
};

// Softmax over rows; logits and what becomes of them are [rows, heads] with `stride` floats between
// rows, so that lanes are heads.
struct AttentionKernels {
  // max[h] becomes the largest of max[h] and the logits of head h.
  void (*max_rows)(const float* logits, int64_t stride, int64_t rows, int64_t heads, float* max);
  // p = exp(scale * logit - scale * max[h]) takes the place of the logits, rounded with b16 if
  // `round`; sum[h] is the sum of the unrounded p, r ascending.
  void (*softmax_rows)(float* logits, int64_t stride, int64_t rows, int64_t heads, float scale,
                       const float* max, bool round, float* sum);
  void (*add_weighted_rows)(const WeightedRowsJob& job);
  // x / divisor, rounded with b16 if `round`; -0 becomes +0.
  void (*divide)(float* x, int64_t n, float divisor, bool round);
};

// A product of bf16 matrices with sums in float: c[i][j] = sum_k a[i][k] * b[k][j]. The order of a
// sum depends on k alone, and cutting k into calls that add changes no bit if the cuts are
// multiples of 32.
//
// `a` is row-major. `b` lies in tiles of 32 k x 16 columns: tile (kb, nb) is at b + kb * b_k_stride
// + nb * b_n_stride and holds [16 pairs of k][16 columns][2]. If n < 16 there is one tile column
// and its rows are [n][2]; otherwise n is a multiple of 16.
inline constexpr int64_t kTileSize = 16;  // rows of a, columns of b
inline constexpr int64_t kTileK = 32;
struct Bf16ProductJob {
  const uint16_t* a;  // [m, 32 * k_blocks]
  int64_t a_stride;   // elements between rows
  const uint16_t* b;
  int64_t b_k_stride;  // elements between tiles
  int64_t b_n_stride;
  float* c;          // [m, n]
  int64_t c_stride;  // elements between rows
  int64_t m;
  int64_t n;
  int64_t k_blocks;
  bool add;  // to what c holds; otherwise to 0
};

// Products of bf16 values and what prepares them. Elements that do not exist are written as zeros
// up to the next multiple of 32.
struct Bf16Kernels {
  PanelKernels panels;
  void (*product)(const Bf16ProductJob& job);
  // n stored elements, whose bytes need no alignment.
  void (*copy_bf16)(const void* data, int64_t n, uint16_t* out);
  // Floats to the nearest bf16.
  void (*round)(const float* x, int64_t n, uint16_t* out);
  // Rows x[t][k], t < n, to the columns of b tiles (above) with the k of one row in order.
  // b_k_stride is 32 * n for n < 16; x holds bf16 values.
  void (*pack_columns)(const float* x, int64_t x_stride, int64_t n, int64_t k, uint16_t* b,
                       int64_t b_k_stride, int64_t b_n_stride);
  // E4M3 with a scale for every 64 elements.
  void (*expand_e4m3_blocks)(const void* data, const uint8_t* scales, int64_t n,
                             const Bf16Tables& tables, uint16_t* out) = nullptr;
  // Rows x[r][i], i < n, a multiple of 32, to b tiles whose k are the rows: those of 32 rows are
  // [n / 16] tiles one after another. Missing rows are zeros.
  void (*pack_rows)(const uint16_t* x, int64_t x_stride, int64_t rows, int64_t n,
                    uint16_t* b) = nullptr;
  // The nearest bf16 of x[r][h], h < heads, r < rows <= 32, to out[h][32]; missing rows are zeros.
  void (*transpose)(const float* x, int64_t x_stride, int64_t rows, int64_t heads, uint16_t* out,
                    int64_t out_stride) = nullptr;
};

struct Kernels {
  const char* name;  // of the instruction set: what DSV_ISA takes
  LinearKernels linear;
  ExpandKernels expand;
  RowKernels rows;
  QuantKernels quant;
  StreamKernels streams;
  GateKernels gates;
  AttentionKernels attention;
  IndexKernels index;
  const Bf16Kernels* bf16 = nullptr;  // null if the instruction set has no dot products of bf16
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
