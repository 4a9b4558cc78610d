#include "kernels/cpu/simd_scalar.h"
// The lanes come first: kernels-inl.h is written over them.
#include "kernels/cpu/kernels-inl.h"

namespace dsv {

const Kernels kScalarKernels{"scalar",   Dot,        DotScaled,    AddWeightedRows, ExpandBf16,
                             ExpandE4m3, ExpandE2m1, SumOfSquares, IndexScores};

}  // namespace dsv
