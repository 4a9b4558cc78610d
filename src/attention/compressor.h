// Compression of m consecutive tokens into one row (spec 4.6).
#pragma once

#include <cstdint>
#include <vector>

#include "cache/batch.h"
#include "checkpoint/weights.h"
#include "kernels/context.h"
#include "kernels/rope.h"

namespace dsv {

// What is done with a pooled row after norm and RoPE.
enum class CompressedRowKind : uint8_t {
  kMain,   // FP8 simulation of the components that are not rotated
  kIndex,  // Hadamard and FP4 simulation
};

class Compressor {
 public:
  // `ratio` 4 (overlapping) or 128. `frequencies` are those of compressed layers.
  Compressor(const CompressorWeights& weights, CompressedRowKind kind, int64_t ratio, double eps,
             const std::vector<float>& frequencies);

  int64_t width() const { return weights_.norm.size; }

  // kappa and gamma of every row: x is [rows, d]; kv and gate are [rows, wkv.out]. gate has the
  // position term added.
  void Project(const OpContext& context, const Batch& batch, const float* x, float* kv,
               float* gate) const;

  // Forms the rows of all groups that the segment closes, appends them to `rows` and keeps what the
  // next groups need in `open`. kv and gate are the segment's rows of Project.
  void Advance(const OpContext& context, const Segment& segment, const float* kv, const float* gate,
               OpenGroup& open, RowStore& rows) const;

  // What turns a pooled row into a stored one, in place: norm and RoPE at the group's first
  // position, then the rounding that its kind of row gets.
  void NormAndRotate(const OpContext& context, int64_t group, float* row) const;
  void Simulate(const OpContext& context, float* row) const;

 private:
  void Pool(const OpContext& context, const OpenGroup& open, const Segment& segment,
            const float* kv, const float* gate, int64_t group, float* out) const;

  const CompressorWeights& weights_;
  CompressedRowKind kind_;
  int64_t ratio_;
  double eps_;
  const std::vector<float>& frequencies_;
};

}  // namespace dsv
