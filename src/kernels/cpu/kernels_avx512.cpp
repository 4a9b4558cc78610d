#include "kernels/cpu/simd_avx512.h"
// The lanes come first: kernels-inl.h is written over them.
#include "kernels/cpu/kernels-inl.h"

namespace dsv {

constexpr Kernels kAvx512Kernels = TableOfLanes("avx512");

}  // namespace dsv
