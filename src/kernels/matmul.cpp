#include "kernels/matmul.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "kernels/expand.h"
#include "kernels/quant.h"

namespace dsv {
namespace {

// Outputs of one task: their expanded rows stay in the second-level cache while rows stream by.
constexpr int64_t kPanelOuts = 16;
// Rows of one task; more rows than this give several tasks, each with its own expansion.
constexpr int64_t kPanelRows = 256;
// Below this many multiply-adds a loop is cheaper on one thread than across threads.
constexpr int64_t kSerialWork = 1 << 14;

struct Panel {
  const MatMulJob* job;
  int64_t out;
  int64_t row;
};

bool RoundsWeight(LinearKind kind, MatrixFormat format) {
  if (kind == LinearKind::kF32) return false;
  if (format == MatrixFormat::kF32) return true;
  return kind == LinearKind::kBF16 && format == MatrixFormat::kFp8F32;
}

// One 16-output panel. `weights` is scratch for [kPanelOuts, in].
void RunPanel(const OpContext& context, LinearKind kind, const Panel& panel,
              std::vector<float>& weights) {
  const MatMulJob& job = *panel.job;
  const MatrixView& w = *job.weight;
  const int64_t outs = std::min(kPanelOuts, job.out_end - panel.out);
  const int64_t rows = std::min(kPanelRows, job.rows - panel.row);
  const bool keep_scale = w.format == MatrixFormat::kFp8F32 && kind != LinearKind::kBF16;
  const bool round_weight = context.reference() && RoundsWeight(kind, w.format);
  const int64_t blocks = (w.in + kFp8Block - 1) / kFp8Block;
  weights.resize(static_cast<size_t>(kPanelOuts * (w.in + blocks)));
  float* scales = weights.data() + kPanelOuts * w.in;
  for (int64_t i = 0; i < outs; ++i) {
    float* row = weights.data() + i * w.in;
    if (keep_scale) {
      ExpandRowUnscaled(context.kernels, w, panel.out + i, row);
      BlockScales(w, panel.out + i, scales + i * blocks);
    } else {
      ExpandRow(context.kernels, w, panel.out + i, row);
      if (round_weight) RoundBf16Row(row, w.in);
    }
  }
  const float* x = job.x + panel.row * job.x_stride;
  float* y = job.y + panel.row * job.y_stride + (panel.out - job.out_begin);
  if (keep_scale) {
    context.kernels.dot_scaled(weights.data(), w.in, scales, outs, x, job.x_stride, rows, w.in, y,
                               job.y_stride);
  } else {
    context.kernels.dot(weights.data(), w.in, outs, x, job.x_stride, rows, w.in, y, job.y_stride);
  }
  if (!context.reference() || kind == LinearKind::kF32) return;
  for (int64_t t = 0; t < rows; ++t) RoundBf16Row(y + t * job.y_stride, outs);
}

}  // namespace

void MatMul(const OpContext& context, LinearKind kind, std::span<const MatMulJob> jobs) {
  std::vector<Panel> panels;
  int64_t work = 0;
  for (const MatMulJob& job : jobs) {
    work += job.rows * (job.out_end - job.out_begin) * job.weight->in;
    for (int64_t row = 0; row < job.rows; row += kPanelRows) {
      for (int64_t out = job.out_begin; out < job.out_end; out += kPanelOuts) {
        panels.push_back({&job, out, row});
      }
    }
  }
  context.Count(&OperationCounts::linear, work);
  std::vector<std::vector<float>> scratch(static_cast<size_t>(context.pool.size()));
  const auto body = [&](int64_t i, int64_t worker) {
    RunPanel(context, kind, panels[static_cast<size_t>(i)], scratch[static_cast<size_t>(worker)]);
  };
  const auto count = static_cast<int64_t>(panels.size());
  if (work < kSerialWork) {
    for (int64_t i = 0; i < count; ++i) body(i, 0);
  } else {
    context.pool.ParallelFor(count, body);
  }
}

void MatMul(const OpContext& context, LinearKind kind, const float* x, int64_t rows,
            const MatrixView& weight, float* y) {
  const MatMulJob job{x, weight.in, rows, &weight, 0, weight.out, y, weight.out};
  MatMul(context, kind, std::span(&job, 1));
}

bool NeedsQuantizedInput(const OpContext& context, const MatrixView& weight) {
  return context.reference() && weight.format != MatrixFormat::kF32 &&
         weight.format != MatrixFormat::kBF16;
}

void QuantizeRows(const OpContext& context, const float* x, int64_t rows, int64_t width, float* q) {
  const OperationTimer timer(context, &OperationCounts::quantize_ns);
  context.pool.ParallelFor(rows, [&](int64_t row, int64_t) {
    QuantizeActivation(x + row * width, width, q + row * width);
  });
}

void QuantizedLinear(const OpContext& context, const float* x, int64_t rows,
                     const MatrixView& weight, float* scratch, float* y) {
  if (NeedsQuantizedInput(context, weight)) {
    QuantizeRows(context, x, rows, weight.in, scratch);
    x = scratch;
  }
  MatMul(context, LinearKind::kQuantized, x, rows, weight, y);
}

}  // namespace dsv
