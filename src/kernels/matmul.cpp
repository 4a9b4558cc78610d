#include "kernels/matmul.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "base/check.h"
#include "kernels/for_rows.h"
#include "kernels/quant.h"
#include "kernels/scratch.h"

namespace dsv {
namespace {

// Below this many multiply-adds a loop is cheaper on one thread than across threads.
constexpr int64_t kSerialWork = 1 << 14;
constexpr int64_t kTasksPerThread = 4;
constexpr int64_t kTaskWork = 1 << 17;  // weights that are worth a task of their own
constexpr int64_t kMaxGrain = 128;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

bool RoundsWeight(LinearKind kind, MatrixFormat format) {
  if (kind == LinearKind::kF32) return false;
  if (format == MatrixFormat::kF32) return true;
  return kind == LinearKind::kBF16 && format == MatrixFormat::kFp8F32;
}

// The rows of a job from `row` on, packed for the panels. Jobs with the same rows share it.
struct PackedRows {
  const float* x;
  int64_t x_stride;
  int64_t in;
  int64_t row;
  int64_t rows;
  int64_t offset;  // of the packed bytes
};

// Some outputs of a job for some of its rows.
struct Task {
  const MatMulJob* job;
  size_t rows;  // index of PackedRows
  int64_t out;
  int64_t outs;
};

class MatMulRun {
 public:
  MatMulRun(const OpContext& context, LinearKind kind, std::span<const MatMulJob> jobs)
      : context_(context), kind_(kind), panels_(PanelsOf(context)) {
    int64_t all_outs = 0;
    int64_t grain = kMaxGrain;
    for (const MatMulJob& job : jobs) {
      work_ += job.rows * (job.out_end - job.out_begin) * job.weight->in;
      all_outs += job.out_end - job.out_begin;
      grain = std::min(grain, CeilDiv(kTaskWork, job.weight->in * kTileSize + 1) * kTileSize);
    }
    // Long tasks read weights in long pieces, but every thread should get a few.
    const int64_t share = CeilDiv(all_outs, context.pool.size() * kTasksPerThread);
    const int64_t wanted = CeilDiv(share, grain) * grain;
    for (const MatMulJob& job : jobs) {
      for (int64_t row = 0; row < job.rows; row += kPanelRows) {
        const size_t packed = AddRows(job, row);
        const int64_t step = std::min(wanted, panels_.panel_outs(rows_[packed].rows));
        for (int64_t out = job.out_begin; out < job.out_end; out += step) {
          tasks_.push_back({&job, packed, out, std::min(step, job.out_end - out)});
        }
      }
    }
    context.Count(&OperationCounts::linear, work_);
  }

  void Run() {
    Pack();
    const auto workers = static_cast<size_t>(work_ < kSerialWork ? 1 : context_.pool.size());
    scratch_bytes_ = CeilDiv(scratch_bytes_, 64) * 64;
    const ScratchArray<std::byte> scratch(context_, static_cast<int64_t>(workers) * scratch_bytes_);
    ForEach(std::ssize(tasks_), [&](int64_t i, int64_t worker) {
      RunTask(tasks_[static_cast<size_t>(i)], scratch.data() + worker * scratch_bytes_);
    });
  }

 private:
  // In f32 precision nothing may be rounded to bf16.
  static const PanelKernels& PanelsOf(const OpContext& context) {
    const bool bf16 = context.reference() && context.kernels.bf16 != nullptr;
    return bf16 ? context.kernels.bf16->panels : context.kernels.linear.panels;
  }

  size_t AddRows(const MatMulJob& job, int64_t row) {
    const int64_t rows = std::min(kPanelRows, job.rows - row);
    const float* x = job.x + row * job.x_stride;
    const int64_t in = job.weight->in;
    scratch_bytes_ = std::max(scratch_bytes_, panels_.scratch_bytes(rows, in));
    for (size_t i = rows_.size(); i-- > 0;) {
      const PackedRows& known = rows_[i];
      if (known.x == x && known.in == in && known.rows == rows) return i;
    }
    rows_.push_back({x, job.x_stride, in, row, rows, packed_bytes_});
    if (panels_.pack != nullptr) {
      packed_bytes_ += CeilDiv(panels_.pack_bytes(rows, in), 64) * 64;
    }
    return rows_.size() - 1;
  }

  void Pack() {
    if (panels_.pack == nullptr) return;
    packed_.emplace(context_, packed_bytes_);
    struct Group {
      const PackedRows* rows;
      int64_t first;
    };
    std::vector<Group> groups;
    for (const PackedRows& rows : rows_) {
      for (int64_t t = 0; t < rows.rows; t += kTileSize) groups.push_back({&rows, t});
    }
    ForEach(std::ssize(groups), [&](int64_t i, int64_t) {
      const Group& group = groups[static_cast<size_t>(i)];
      const PackedRows& rows = *group.rows;
      panels_.pack(rows.x, rows.x_stride, rows.rows, rows.in, group.first,
                   std::min(kTileSize, rows.rows - group.first), packed_->data() + rows.offset);
    });
  }

  void RunTask(const Task& task, std::byte* scratch) const {
    const MatMulJob& job = *task.job;
    const MatrixView& w = *job.weight;
    const PackedRows& rows = rows_[task.rows];
    const bool packed = panels_.pack != nullptr;
    const bool reference = context_.reference();
    const LinearPanel panel{
        .weight = &w,
        .first = task.out,
        .outs = task.outs,
        .round_weight = reference && RoundsWeight(kind_, w.format),
        .keep_scale = w.format == MatrixFormat::kFp8F32 && kind_ != LinearKind::kBF16,
        .x = packed ? static_cast<const void*>(packed_->data() + rows.offset) : rows.x,
        .x_stride = rows.x_stride,
        .rows = rows.rows,
        .y = job.y + rows.row * job.y_stride + (task.out - job.out_begin),
        .y_stride = job.y_stride,
        .round_y = reference && kind_ != LinearKind::kF32,
        .scratch = scratch};
    panels_.panel(panel, SharedBf16Tables());
  }

  template <class Body>
  void ForEach(int64_t count, const Body& body) const {
    if (work_ < kSerialWork) {
      for (int64_t i = 0; i < count; ++i) body(i, 0);
    } else {
      context_.pool.ParallelFor(count, body);
    }
  }

  const OpContext& context_;
  LinearKind kind_;
  const PanelKernels& panels_;
  int64_t work_ = 0;
  int64_t scratch_bytes_ = 0;
  int64_t packed_bytes_ = 0;
  std::vector<PackedRows> rows_;
  std::vector<Task> tasks_;
  std::optional<ScratchArray<std::byte>> packed_;
};

}  // namespace

void MatMul(const OpContext& context, LinearKind kind, std::span<const MatMulJob> jobs) {
  MatMulRun(context, kind, jobs).Run();
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
  ForRows(context, rows, width, [&](int64_t row) {
    QuantizeActivation(context.kernels, x + row * width, width, q + row * width);
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
