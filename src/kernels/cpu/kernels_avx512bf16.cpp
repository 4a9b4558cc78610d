#include "kernels/cpu/simd_avx512.h"
// The lanes come first: kernels-inl.h is written over them.
#include "kernels/cpu/attention-bf16-inl.h"
#include "kernels/cpu/bf16-inl.h"
#include "kernels/cpu/kernels-inl.h"
#include "kernels/cpu/linear_avx512bf16.h"
#include "kernels/cpu/product_avx512bf16.h"

namespace dsv {
namespace {

constexpr Bf16Kernels kBf16 = WithAttention(TableOfBf16(kLanePanels, Product));

}  // namespace

constexpr Kernels kAvx512Bf16Kernels = TableOfLanes("avx512bf16", &kBf16);

}  // namespace dsv
