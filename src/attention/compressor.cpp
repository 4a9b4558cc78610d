#include "attention/compressor.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "kernels/for_rows.h"
#include "kernels/hadamard.h"
#include "kernels/matmul.h"
#include "kernels/norm.h"
#include "kernels/quant.h"

namespace dsv {
namespace {

bool Overlaps(int64_t ratio) { return ratio == 4; }

// Drops the rows before `first` and appends the segment's rows from there on. Room is kept for
// `most` rows, so that decoding does not allocate, and for none where nothing is stored.
void KeepRows(std::vector<float>& stored, const float* chunk, const Segment& segment, int64_t first,
              int64_t width, int64_t most) {
  const int64_t begin = std::max(first, segment.position);
  const float* const added = chunk + (begin - segment.position) * width;
  const float* const end = chunk + segment.rows * width;
  const int64_t kept = std::max<int64_t>(segment.position - first, 0);
  stored.erase(stored.begin(), stored.end() - kept * width);
  if (stored.empty() && added == end) {
    stored = {};
    return;
  }
  stored.reserve(static_cast<size_t>(most * width));
  stored.insert(stored.end(), added, end);
}

}  // namespace

Compressor::Compressor(const CompressorWeights& weights, CompressedRowKind kind, int64_t ratio,
                       double eps, const std::vector<float>& frequencies)
    : weights_(weights), kind_(kind), ratio_(ratio), eps_(eps), frequencies_(frequencies) {
  DSV_CHECK(ratio <= kMaxPoolRows && weights.ape.format == MatrixFormat::kF32);
}

void Compressor::Project(const OpContext& context, const Batch& batch, const float* x, float* kv,
                         float* gate) const {
  const int64_t width = weights_.wkv.out;
  const int64_t d = weights_.wkv.in;
  const MatMulJob jobs[] = {{x, d, batch.rows(), &weights_.wkv, 0, width, kv, width},
                            {x, d, batch.rows(), &weights_.wgate, 0, width, gate, width}};
  MatMul(context, LinearKind::kF32, jobs);
  const MatrixView& ape = weights_.ape;
  ForRows(context, batch.rows(), width, [&](int64_t row) {
    const int64_t term = batch.positions[static_cast<size_t>(row)] % ratio_;
    context.kernels.rows.add_stored(ape.data + term * width * 4, /*bf16=*/false, width,
                                    gate + row * width);
  });
}

void Compressor::NormAndRotate(const OpContext& context, int64_t group, float* row) const {
  if (context.reference()) context.kernels.rows.round_bf16(row, width());
  RmsNormRow(context, row, weights_.norm, eps_, row);
  RopeAngles angles(static_cast<int64_t>(frequencies_.size()));
  angles.Set(frequencies_, group * ratio_);
  angles.Rotate(context, row, width());
}

void Compressor::Simulate(const OpContext& context, float* row) const {
  if (kind_ == CompressedRowKind::kIndex) {
    Hadamard(context, row, width());
    if (context.reference()) SimulateFp4(context.kernels, row, width());
  } else if (context.reference()) {
    SimulateFp8(context.kernels, row, width() - 2 * static_cast<int64_t>(frequencies_.size()));
  }
}

void Compressor::Pool(const OpContext& context, const OpenGroup& open, const Segment& segment,
                      const float* kv, const float* gate, int64_t group, float* out) const {
  const int64_t row_width = weights_.wkv.out;
  std::array<const float*, kMaxPoolRows> kv_rows{};
  std::array<const float*, kMaxPoolRows> gate_rows{};
  const int64_t first = (Overlaps(ratio_) ? group - 1 : group) * ratio_;
  const int64_t count = (group + 1) * ratio_ - first;
  for (int64_t i = std::max<int64_t>(0, -first); i < count; ++i) {
    const int64_t position = first + i;
    const bool before = position < segment.position;
    const int64_t offset =
        (position - (before ? open.first_position : segment.position)) * row_width;
    kv_rows[static_cast<size_t>(i)] = (before ? open.kv.data() : kv) + offset;
    gate_rows[static_cast<size_t>(i)] = (before ? open.gate.data() : gate) + offset;
  }
  context.kernels.gates.pool({.kv = kv_rows.data(),
                              .gate = gate_rows.data(),
                              .rows = count,
                              .overlap = Overlaps(ratio_),
                              .width = width()},
                             out);
  NormAndRotate(context, group, out);
  Simulate(context, out);
}

void Compressor::Advance(const OpContext& context, const Segment& segment, const float* kv,
                         const float* gate, OpenGroup& open, RowStore& rows) const {
  const int64_t end = segment.position + segment.rows;
  const int64_t first_group = segment.position / ratio_;
  const int64_t end_group = end / ratio_;
  std::vector<float> closed(static_cast<size_t>((end_group - first_group) * width()));
  context.pool.ParallelFor(end_group - first_group, [&](int64_t i, int64_t) {
    Pool(context, open, segment, kv, gate, first_group + i, closed.data() + i * width());
  });
  for (int64_t i = 0; i < end_group - first_group; ++i) rows.Append(closed.data() + i * width());

  const int64_t keep_group = Overlaps(ratio_) ? end_group - 1 : end_group;
  const int64_t first = std::max<int64_t>(keep_group, 0) * ratio_;
  const int64_t most = Overlaps(ratio_) ? 2 * ratio_ : ratio_;
  KeepRows(open.kv, kv, segment, first, weights_.wkv.out, most);
  KeepRows(open.gate, gate, segment, first, weights_.wkv.out, most);
  open.first_position = first;
}

}  // namespace dsv
