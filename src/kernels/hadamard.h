// The orthonormal Hadamard rotation of indexer queries and keys (spec 3.7).
#pragma once

#include <cstdint>

#include "kernels/context.h"

namespace dsv {

// In place on x[n], n a power of two, natural (Sylvester) order; scaled once and rounded once (b16
// in reference precision) at the end. The stages add in f32.
void Hadamard(const OpContext& context, float* x, int64_t n);

}  // namespace dsv
