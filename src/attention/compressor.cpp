#include "attention/compressor.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/expand.h"
#include "kernels/hadamard.h"
#include "kernels/matmul.h"
#include "kernels/norm.h"
#include "kernels/quant.h"
#include "tensor/number_formats.h"

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

void PoolGroup(const std::vector<const float*>& kv, const std::vector<const float*>& gate,
               bool overlap, int64_t width, float* out) {
  const size_t rows = kv.size();
  std::vector<float> weight(rows);
  for (int64_t i = 0; i < width; ++i) {
    const auto channel = [&](size_t row) { return overlap && row >= rows / 2 ? width + i : i; };
    float max = -std::numeric_limits<float>::infinity();
    for (size_t row = 0; row < rows; ++row) {
      if (gate[row] != nullptr) max = std::max(max, gate[row][channel(row)]);
    }
    float sum = 0;
    for (size_t row = 0; row < rows; ++row) {
      weight[row] = gate[row] == nullptr ? 0.0F : std::exp(gate[row][channel(row)] - max);
      sum += weight[row];
    }
    float value = 0;
    for (size_t row = 0; row < rows; ++row) {
      if (kv[row] != nullptr) value += weight[row] / sum * kv[row][channel(row)];
    }
    out[i] = value;
  }
}

Compressor::Compressor(const CompressorWeights& weights, CompressedRowKind kind, int64_t ratio,
                       double eps, const std::vector<float>& frequencies)
    : weights_(weights), kind_(kind), ratio_(ratio), eps_(eps), frequencies_(frequencies) {}

void Compressor::Project(const OpContext& context, const Batch& batch, const float* x, float* kv,
                         float* gate) const {
  const int64_t width = weights_.wkv.out;
  const int64_t d = weights_.wkv.in;
  const MatMulJob jobs[] = {{x, d, batch.rows(), &weights_.wkv, 0, width, kv, width},
                            {x, d, batch.rows(), &weights_.wgate, 0, width, gate, width}};
  MatMul(context, LinearKind::kF32, jobs);
  context.pool.ParallelFor(batch.rows(), [&](int64_t row, int64_t) {
    std::vector<float> ape(static_cast<size_t>(width));
    ExpandRow(context.kernels, weights_.ape, batch.positions[static_cast<size_t>(row)] % ratio_,
              ape.data());
    for (int64_t i = 0; i < width; ++i) gate[row * width + i] += ape[static_cast<size_t>(i)];
  });
}

void Compressor::NormAndRotate(const OpContext& context, int64_t group, float* row) const {
  if (context.reference()) RoundBf16Row(row, width());
  RmsNormRow(context, row, ExpandVector(weights_.norm), eps_, row);
  RopeAngles angles(static_cast<int64_t>(frequencies_.size()));
  angles.Set(frequencies_, group * ratio_);
  angles.Rotate(context, row, width());
}

void Compressor::Simulate(const OpContext& context, float* row) const {
  if (kind_ == CompressedRowKind::kIndex) {
    Hadamard(context, row, width());
    if (context.reference()) SimulateFp4(row, width());
  } else if (context.reference()) {
    SimulateFp8(row, width() - 2 * static_cast<int64_t>(frequencies_.size()));
  }
}

void Compressor::Pool(const OpContext& context, const OpenGroup& open, const Segment& segment,
                      const float* kv, const float* gate, int64_t group, float* out) const {
  const int64_t row_width = weights_.wkv.out;
  std::vector<const float*> kv_rows;
  std::vector<const float*> gate_rows;
  const int64_t first = (Overlaps(ratio_) ? group - 1 : group) * ratio_;
  for (int64_t position = first; position < (group + 1) * ratio_; ++position) {
    if (position < 0) {
      kv_rows.push_back(nullptr);
      gate_rows.push_back(nullptr);
    } else if (position < segment.position) {
      const int64_t offset = (position - open.first_position) * row_width;
      kv_rows.push_back(open.kv.data() + offset);
      gate_rows.push_back(open.gate.data() + offset);
    } else {
      const int64_t offset = (position - segment.position) * row_width;
      kv_rows.push_back(kv + offset);
      gate_rows.push_back(gate + offset);
    }
  }
  PoolGroup(kv_rows, gate_rows, Overlaps(ratio_), width(), out);
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
