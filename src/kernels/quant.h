// The rounding points of the specification, as functions on rows (sections 3.2, 3.5, 3.6). Each is
// named where it happens; in f32 precision the callers skip them.
#pragma once

#include <cstdint>

#include "kernels/kernel_table.h"

namespace dsv {

// x <- b16(x)
void RoundBf16Row(float* x, int64_t n);

// Input of an FP8 or FP4 linear (3.2): per block of 128, x becomes E4M3(x / s) * s. The value stays
// exact in a float; q and s are wanted apart only by tests.
void QuantizeActivation(const Kernels& kernels, const float* x, int64_t n, float* quantized);

// The block scales of QuantizeActivation: [ceil(n/128)].
void ActivationScales(const float* x, int64_t n, float* scales);

// FP8 simulation of a stored row, per block of 64 (3.5).
inline constexpr int64_t kFp8SimulationBlock = 64;
void SimulateFp8(const Kernels& kernels, float* x, int64_t n);

// FP4 simulation of an indexer query or key, per block of 32 (3.6).
void SimulateFp4(const Kernels& kernels, float* x, int64_t n);

// The scale of one block, n at most the block's length. Of a block that is simulated already it may
// be half of the scale that was used, which holds the values as well (6.1).
float Fp8Scale(const float* x, int64_t n);
float Fp4Scale(const float* x, int64_t n);

}  // namespace dsv
