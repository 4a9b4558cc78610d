// Products of rows with stored weights, for every format.
#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "cli/bench/huge_buffer.h"
#include "cli/bench/kernel_cases.h"
#include "cli/bench/random_values.h"
#include "cli/bench/samples.h"
#include "kernels/matmul.h"
#include "kernels/quant.h"

namespace dsv::cli {
namespace {

struct FormatCase {
  const char* op;
  const char* name;
  MatrixFormat format;
  LinearKind kind;
  ValueKind values;
  ValueKind scales;
  Arithmetic arithmetic;
};
constexpr FormatCase kFormats[] = {
    {"linear", "fp4_e8m0", MatrixFormat::kFp4E8M0, LinearKind::kQuantized, ValueKind::kBytes,
     ValueKind::kE8M0, Arithmetic::kBf16},
    {"linear", "fp8_e8m0", MatrixFormat::kFp8E8M0, LinearKind::kQuantized, ValueKind::kE4M3,
     ValueKind::kE8M0, Arithmetic::kBf16},
    {"linear", "fp8_f32", MatrixFormat::kFp8F32, LinearKind::kQuantized, ValueKind::kE4M3,
     ValueKind::kF32, Arithmetic::kBf16},
    {"linear_bf16_input", "fp8_e8m0", MatrixFormat::kFp8E8M0, LinearKind::kBF16, ValueKind::kE4M3,
     ValueKind::kE8M0, Arithmetic::kBf16},
    {"linear_bf16_input", "bf16", MatrixFormat::kBF16, LinearKind::kBF16, ValueKind::kBf16,
     ValueKind::kE8M0, Arithmetic::kBf16},
    {"linear_f32", "bf16", MatrixFormat::kBF16, LinearKind::kF32, ValueKind::kBf16,
     ValueKind::kE8M0, Arithmetic::kBf16},  // the inputs are bf16 values too
    {"linear_f32", "f32", MatrixFormat::kF32, LinearKind::kF32, ValueKind::kF32, ValueKind::kE8M0,
     Arithmetic::kFp32},
};

struct Shape {
  int64_t out;
  int64_t in;
};
// Experts (w1 and w3, w2), wq_b, wo_b; of unquantised weights also fn of the hyper-connections.
constexpr Shape kShapes[] = {{2048, 4096}, {4096, 2048}, {32768, 1024}, {4096, 8192}};
constexpr Shape kThin = {24, 16384};

int64_t ValueBytes(MatrixFormat format, const Shape& shape) {
  const int64_t elements = shape.out * shape.in;
  switch (format) {
    case MatrixFormat::kF32:
      return 4 * elements;
    case MatrixFormat::kBF16:
      return 2 * elements;
    case MatrixFormat::kFp4E8M0:
      return elements / 2;
    case MatrixFormat::kFp8E8M0:
    case MatrixFormat::kFp8F32:
      break;
  }
  return elements;
}

int64_t ScaleBytes(MatrixFormat format, const Shape& shape) {
  const int64_t blocks = (shape.out + kFp8Block - 1) / kFp8Block * (shape.in / kFp8Block);
  if (format == MatrixFormat::kFp4E8M0) return shape.out * shape.in / kFp4Block;
  if (format == MatrixFormat::kFp8E8M0) return blocks;
  return format == MatrixFormat::kFp8F32 ? 4 * blocks : 0;
}

// Matrices of one shape that lie one after another; calls take the next one.
class Matrices {
 public:
  Matrices(const FormatCase& format, const Shape& shape, std::span<const std::byte> values,
           std::span<const std::byte> scales)
      : format_(format.format), shape_(shape), values_(values), scales_(scales) {
    count_ = std::ssize(values) / ValueBytes(format_, shape);
    if (const int64_t bytes = ScaleBytes(format_, shape); bytes > 0) {
      count_ = std::min(count_, std::ssize(scales) / bytes);
    }
  }
  bool empty() const { return count_ == 0; }

  MatrixView Next() {
    const int64_t at = next_++ % count_;
    const int64_t scale = ScaleBytes(format_, shape_);
    return {format_, shape_.out, shape_.in, values_.data() + at * ValueBytes(format_, shape_),
            scale > 0 ? scales_.data() + at * scale : nullptr};
  }

 private:
  MatrixFormat format_;
  Shape shape_;
  std::span<const std::byte> values_;
  std::span<const std::byte> scales_;
  int64_t count_ = 0;
  int64_t next_ = 0;
};

void VisitShape(const FormatCase& format, const Shape& shape, int64_t rows, Matrices& matrices,
                const KernelCaseVisitor& visit) {
  std::vector<float> x(static_cast<size_t>(rows * shape.in));
  FillRandom(1, {ValueKind::kF32, 1}, std::as_writable_bytes(std::span(x)));
  for (int64_t t = 0; t < rows; ++t) {
    float* row = x.data() + t * shape.in;
    QuantizeActivation(kScalarKernels, row, shape.in, row);  // FP8 values are bf16 values too
  }
  std::vector<float> y(static_cast<size_t>(rows * shape.out));
  KernelCase one;
  one.op = format.op;
  one.format = format.name;
  one.shape = fmt::format("{}x{}", shape.out, shape.in);
  one.rows = rows;
  one.bytes = ValueBytes(format.format, shape) + ScaleBytes(format.format, shape);
  one.multiply_adds = rows * shape.out * shape.in;
  one.arithmetic = format.arithmetic;
  one.run = [&](const OpContext& context) {
    const MatrixView weight = matrices.Next();
    const Stopwatch watch;
    MatMul(context, format.kind, x.data(), rows, weight, y.data());
    return watch.Seconds();
  };
  visit(one);
}

void Fill(ThreadPool& pool, const ValueRange& range, std::span<std::byte> bytes) {
  constexpr int64_t kPiece = 1 << 20;
  pool.ParallelFor((std::ssize(bytes) + kPiece - 1) / kPiece, [&](int64_t i, int64_t) {
    const auto begin = static_cast<size_t>(i * kPiece);
    FillRandom(static_cast<uint64_t>(i), range,
               bytes.subspan(begin, std::min<size_t>(kPiece, bytes.size() - begin)));
  });
}

}  // namespace

Status ForEachLinearCase(const KernelCaseOptions& options, ThreadPool& pool,
                         const KernelCaseVisitor& visit) {
  DSV_ASSIGN(const HugeBuffer values, HugeBuffer::Make(options.weight_bytes));
  DSV_ASSIGN(const HugeBuffer scales, HugeBuffer::Make(options.weight_bytes / 16));
  for (const FormatCase& format : kFormats) {
    Fill(pool, {format.values, 1.0 / 64}, values.bytes());
    Fill(pool, {format.scales, 1.0 / 64}, scales.bytes());
    std::vector<Shape> shapes;
    for (const Shape& shape : kShapes) {
      shapes.push_back({shape.out / options.scale, shape.in / options.scale});
    }
    if (format.format == MatrixFormat::kF32) shapes = {kThin, shapes.front()};
    for (const Shape& shape : shapes) {
      Matrices matrices(format, shape, values.bytes(), scales.bytes());
      if (matrices.empty()) continue;
      for (const int64_t rows : options.rows) VisitShape(format, shape, rows, matrices, visit);
    }
  }
  return {};
}

}  // namespace dsv::cli
