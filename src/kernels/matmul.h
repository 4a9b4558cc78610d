// y = W x for rows of activations and stored weights (spec 2.5, 3.3, 3.4).
//
// Weights are expanded panel by panel from the bytes of the checkpoint. Every output element is one
// dot product in the canonical order of Kernels::dot, whatever the number of rows or threads.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/context.h"
#include "tensor/tensor_view.h"

namespace dsv {

// How the product is formed in reference precision (spec 2.5); f32 precision rounds nothing.
enum class LinearKind : uint8_t {
  kQuantized,  // FP8/FP4 weights take a quantised input; F32 weights are rounded to bf16; b16
               // output
  kBF16,       // the expanded weight is rounded to bf16, the input is not quantised; b16 output
  kF32,        // weights widened, no rounding at all
};

struct MatMulJob {
  const float* x = nullptr;  // [rows, in], stride x_stride
  int64_t x_stride = 0;
  int64_t rows = 0;
  const MatrixView* weight = nullptr;
  int64_t out_begin = 0;  // rows [out_begin, out_end) of the weight
  int64_t out_end = 0;
  float* y = nullptr;  // [rows, out_end - out_begin], stride y_stride
  int64_t y_stride = 0;
};

// Runs all jobs in one parallel loop. The x of a kQuantized job must already be quantised where the
// weight asks for it (NeedsQuantizedInput).
void MatMul(const OpContext& context, LinearKind kind, std::span<const MatMulJob> jobs);

// One product with all outputs: x is [rows, in] and y [rows, out], both dense.
void MatMul(const OpContext& context, LinearKind kind, const float* x, int64_t rows,
            const MatrixView& weight, float* y);

// True if a kQuantized product with this weight quantises its input per 128 (spec 3.2).
bool NeedsQuantizedInput(const OpContext& context, const MatrixView& weight);

// A kQuantized product that quantises x first where needed; `scratch` is [rows, in].
void QuantizedLinear(const OpContext& context, const float* x, int64_t rows,
                     const MatrixView& weight, float* scratch, float* y);

// Rows of QuantizeActivation, in parallel.
void QuantizeRows(const OpContext& context, const float* x, int64_t rows, int64_t width, float* q);

}  // namespace dsv
