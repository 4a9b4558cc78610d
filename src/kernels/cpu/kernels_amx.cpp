#include "kernels/cpu/simd_avx512.h"
// The lanes come first: kernels-inl.h is written over them.
#include "kernels/cpu/attention-bf16-inl.h"
#include "kernels/cpu/bf16-inl.h"
#include "kernels/cpu/kernels-inl.h"
#include "kernels/cpu/index_filter_amx.h"
#include "kernels/cpu/linear_amx.h"
#include "kernels/cpu/product_amx.h"

namespace dsv {
namespace {

constexpr Bf16Kernels kBf16 = WithAttention(TableOfBf16(kAmxPanels, Product));

}  // namespace

constexpr Kernels kAmxKernels = TableOfLanes("amx", &kBf16, kTileIndex);

}  // namespace dsv
