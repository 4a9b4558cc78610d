// The kernels, written once over the lanes of a simd_<isa>.h that is included before this file.
// Everything is in an anonymous namespace, and no standard container or algorithm is used, so that
// no code compiled for a wide instruction set can be shared with the rest of the program.
#pragma once

#include "kernels/cpu/attention-inl.h"
#include "kernels/cpu/expand-inl.h"
#include "kernels/cpu/gates-inl.h"
#include "kernels/cpu/index-inl.h"
#include "kernels/cpu/linear-inl.h"
#include "kernels/cpu/quant-inl.h"
#include "kernels/cpu/rotate-inl.h"
#include "kernels/cpu/rows-inl.h"
#include "kernels/cpu/streams-inl.h"
#include "kernels/kernel_table.h"

namespace {

constexpr dsv::Kernels TableOfLanes(const char* name, const dsv::Bf16Kernels* bf16 = nullptr,
                                    const dsv::IndexKernels& index = kLaneIndex) {
  return {.name = name,
          .linear = {.panels = kFloatPanels, .dot = Dot},
          .expand = {.bf16 = ExpandBf16, .e4m3 = ExpandE4m3, .e2m1 = ExpandE2m1, .row_part = ExpandRowPart},
          .rows = {.sum_of_squares = SumOfSquares,
                   .round_bf16 = RoundRowToBf16,
                   .rms_norm = RmsNormRow,
                   .head_norm = HeadNormRow,
                   .add_stored = AddStored,
                   .sum_rows = SumRows,
                   .rotate = RotatePairs,
                   .hadamard = HadamardRow},
          .quant = {.fp8 = QuantizeFp8, .fp4 = QuantizeFp4},
          .streams = {.sum_of_squares = StreamSquares,
                      .collapse = CollapseStreams,
                      .mix = MixStreams,
                      .sinkhorn = SinkhornMatrix},
          .gates = {.exp = ExpRow,
                    .sigmoid = SigmoidRow,
                    .router_scores = RouterScoreRow,
                    .swiglu = SwiGlu,
                    .pool = Pool},
          .attention = {.max_rows = MaxRows,
                        .softmax_rows = SoftmaxRows,
                        .add_weighted_rows = AddWeightedRows,
                        .divide = Divide},
          .index = index,
          .bf16 = bf16};
}

}  // namespace
