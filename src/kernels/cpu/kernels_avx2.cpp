#include "kernels/cpu/simd_avx2.h"
// The lanes come first: kernels-inl.h is written over them.
#include "kernels/cpu/kernels-inl.h"

namespace dsv {

constexpr Kernels kAvx2Kernels = TableOfLanes("avx2");

}  // namespace dsv
