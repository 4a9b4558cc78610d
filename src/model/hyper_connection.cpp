#include "model/hyper_connection.h"

#include <array>
#include <cmath>

#include "base/check.h"
#include "kernels/for_rows.h"
#include "kernels/matmul.h"
#include "kernels/norm.h"
#include "tensor/number_formats.h"

namespace dsv {
namespace {

constexpr int64_t n = kHcStreams;
constexpr int64_t kMixes = (2 + n) * n;

float Element(const VectorView& vector, int64_t i) {
  return vector.dtype == DType::kF32 ? LoadUnaligned<float>(vector.data + 4 * i)
                                     : Bf16ToFloat(LoadUnaligned<uint16_t>(vector.data + 2 * i));
}

// What a mix is multiplied by and what is added to it.
struct Affine {
  explicit Affine(const HyperConnectionWeights& weights) {
    DSV_CHECK(weights.base.size <= kMixes);
    for (int64_t i = 0; i < weights.base.size; ++i) {
      const int64_t part = std::min<int64_t>(i / n, 2);
      alpha[static_cast<size_t>(i)] = Element(weights.scale, part);
      beta[static_cast<size_t>(i)] = Element(weights.base, i);
    }
  }
  float Apply(const float* m, int64_t i) const {
    return m[i] * alpha[static_cast<size_t>(i)] + beta[static_cast<size_t>(i)];
  }

  std::array<float, kMixes> alpha{};
  std::array<float, kMixes> beta{};
};

// fn . x for every row: [rows, fn.out]. What it is multiplied with, rho, comes later.
std::vector<float> Product(const OpContext& context, const HyperConnectionWeights& weights,
                           const ModelConfig& config, const float* streams, int64_t rows) {
  DSV_CHECK(config.hc_mult == n);
  std::vector<float> mix(static_cast<size_t>(rows * weights.fn.out));
  MatMul(context, LinearKind::kF32, streams, rows, weights.fn, mix.data());
  return mix;
}

// The work on one row after the product. M = (fn . x) * rho; the factor is applied after the
// product.
class RowOfStreams {
 public:
  RowOfStreams(const OpContext& context, const ModelConfig& config, const HcFusion& fusion,
               const float* streams, int64_t row)
      : context_(context),
        config_(config),
        fusion_(fusion),
        row_(row),
        x_(streams + row * n * config.hidden_size) {}

  void ScaleMix(float* mix, int64_t count) const {
    const int64_t d = config_.hidden_size;
    const float squares = fusion_.squares == nullptr
                              ? context_.kernels.streams.sum_of_squares(x_, d)
                              : fusion_.squares[row_];
    const float mean = squares / static_cast<float>(n * d);
    const float rho = 1.0F / std::sqrt(mean + static_cast<float>(config_.rms_norm_eps));
    for (int64_t i = 0; i < count; ++i) mix[i] *= rho;
  }

  // sigma(a) + eps, in place
  void Gates(float* a, int64_t count, float eps) const {
    context_.kernels.gates.sigmoid(a, count, a);
    for (int64_t i = 0; i < count; ++i) a[i] += eps;
  }

  void Collapse(const float* pre, float* y) const {
    const int64_t d = config_.hidden_size;
    float* out = y + row_ * d;
    context_.kernels.streams.collapse(x_, pre, d, context_.reference(), out);
    if (fusion_.norm != nullptr) {
      RmsNormRow(context_, out, *fusion_.norm, config_.rms_norm_eps, out);
    }
  }

 private:
  const OpContext& context_;
  const ModelConfig& config_;
  const HcFusion& fusion_;
  int64_t row_;
  const float* x_;
};

}  // namespace

HcCoefficients HcPre(const OpContext& context, const HyperConnectionWeights& weights,
                     const ModelConfig& config, const float* streams, int64_t rows, float* y,
                     const HcFusion& fusion) {
  const OperationTimer timer(context, &OperationCounts::hc_ns);
  const Affine affine(weights);
  const auto eps = static_cast<float>(config.hc_eps);
  HcCoefficients c;
  c.mix = Product(context, weights, config, streams, rows);
  c.pre.resize(static_cast<size_t>(rows * n));
  c.post.resize(c.pre.size());
  c.comb.resize(static_cast<size_t>(rows * n * n));
  ForRows(context, rows, n * config.hidden_size, [&](int64_t row) {
    const RowOfStreams x(context, config, fusion, streams, row);
    float* m = c.mix.data() + row * kMixes;
    float* pre = c.pre.data() + row * n;
    float* post = c.post.data() + row * n;
    float* comb = c.comb.data() + row * n * n;
    x.ScaleMix(m, kMixes);
    for (int64_t j = 0; j < n; ++j) {
      pre[j] = affine.Apply(m, j);
      post[j] = affine.Apply(m, n + j);
    }
    for (int64_t i = 0; i < n * n; ++i) comb[i] = affine.Apply(m, 2 * n + i);
    x.Gates(pre, n, eps);
    x.Gates(post, n, 0);
    for (int64_t j = 0; j < n; ++j) post[j] *= 2;
    context.kernels.streams.sinkhorn(comb, config.hc_sinkhorn_iters, eps);
    x.Collapse(pre, y);
  });
  return c;
}

void HcPost(const OpContext& context, const HcCoefficients& coefficients, const ModelConfig& config,
            const float* u, int64_t rows, float* streams, float* squares) {
  const OperationTimer timer(context, &OperationCounts::hc_ns);
  const int64_t d = config.hidden_size;
  ForRows(context, rows, n * d, [&](int64_t row) {
    const float sum = context.kernels.streams.mix(u + row * d, coefficients.post.data() + row * n,
                                                  coefficients.comb.data() + row * n * n, d,
                                                  context.reference(), streams + row * n * d);
    if (squares != nullptr) squares[row] = sum;
  });
}

void HcHead(const OpContext& context, const HyperConnectionWeights& weights,
            const ModelConfig& config, const float* streams, int64_t rows, float* y,
            const HcFusion& fusion) {
  const Affine affine(weights);
  std::vector<float> pre = Product(context, weights, config, streams, rows);
  ForRows(context, rows, n * config.hidden_size, [&](int64_t row) {
    const RowOfStreams x(context, config, fusion, streams, row);
    float* p = pre.data() + row * n;
    x.ScaleMix(p, n);
    for (int64_t j = 0; j < n; ++j) p[j] = affine.Apply(p, j);
    x.Gates(p, n, static_cast<float>(config.hc_eps));
    x.Collapse(p, y);
  });
}

}  // namespace dsv
