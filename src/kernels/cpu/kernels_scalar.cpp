#include "kernels/cpu/simd_scalar.h"
// The lanes come first: kernels-inl.h is written over them.
#include "kernels/cpu/kernels-inl.h"

namespace dsv {

constexpr Kernels kScalarKernels = TableOfLanes("scalar");

}  // namespace dsv
