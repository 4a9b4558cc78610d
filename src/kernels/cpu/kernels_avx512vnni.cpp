#include "kernels/cpu/simd_avx512.h"
// The lanes come first: kernels-inl.h is written over them.
#include "kernels/cpu/kernels-inl.h"

namespace dsv {

const Kernels kAvx512VnniKernels{"avx512",   Dot,        DotScaled,    AddWeightedRows, ExpandBf16,
                                 ExpandE4m3, ExpandE2m1, SumOfSquares, IndexScores};

}  // namespace dsv
