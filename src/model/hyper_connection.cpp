#include "model/hyper_connection.h"

#include <cmath>

#include "kernels/expand.h"
#include "kernels/matmul.h"
#include "kernels/norm.h"
#include "kernels/quant.h"
#include "kernels/sinkhorn.h"

namespace dsv {
namespace {

float Sigmoid(float x) { return 1.0F / (1.0F + std::exp(-x)); }

// M = (fn . x) * rho for every row: [rows, fn.out]. The factor is applied after the product.
std::vector<float> Mix(const OpContext& context, const HyperConnectionWeights& weights,
                       const ModelConfig& config, const float* streams, int64_t rows) {
  const int64_t width = weights.fn.in;
  const int64_t out = weights.fn.out;
  std::vector<float> mix(static_cast<size_t>(rows * out));
  MatMul(context, LinearKind::kF32, streams, rows, weights.fn, mix.data());
  context.pool.ParallelFor(rows, [&](int64_t row, int64_t) {
    const float rho = InverseRms(context, streams + row * width, width, config.rms_norm_eps);
    for (int64_t i = 0; i < out; ++i) mix[static_cast<size_t>(row * out + i)] *= rho;
  });
  return mix;
}

// y = b16(sum_j pre_j X_j) of one row.
void Collapse(const OpContext& context, const float* pre, const float* streams, int64_t n,
              int64_t d, float* y) {
  for (int64_t i = 0; i < d; ++i) {
    float sum = 0;
    for (int64_t j = 0; j < n; ++j) sum += pre[j] * streams[j * d + i];
    y[i] = sum;
  }
  if (context.reference()) RoundBf16Row(y, d);
}

}  // namespace

HcCoefficients HcPre(const OpContext& context, const HyperConnectionWeights& weights,
                     const ModelConfig& config, const float* streams, int64_t rows, float* y) {
  const OperationTimer timer(context, &OperationCounts::hc_ns);
  const int64_t n = config.hc_mult;
  const int64_t d = config.hidden_size;
  const int64_t out = weights.fn.out;
  const std::vector<float> alpha = ExpandVector(weights.scale);
  const std::vector<float> beta = ExpandVector(weights.base);
  HcCoefficients c;
  c.mix = Mix(context, weights, config, streams, rows);
  c.pre.resize(static_cast<size_t>(rows * n));
  c.post.resize(c.pre.size());
  c.comb.resize(static_cast<size_t>(rows * n * n));
  context.pool.ParallelFor(rows, [&](int64_t row, int64_t) {
    const float* m = c.mix.data() + row * out;
    float* pre = c.pre.data() + row * n;
    float* post = c.post.data() + row * n;
    float* comb = c.comb.data() + row * n * n;
    for (int64_t j = 0; j < n; ++j) {
      const auto at = static_cast<size_t>(j);
      pre[j] = Sigmoid(m[j] * alpha[0] + beta[at]) + static_cast<float>(config.hc_eps);
      post[j] = 2.0F * Sigmoid(m[n + j] * alpha[1] + beta[at + static_cast<size_t>(n)]);
    }
    for (int64_t i = 0; i < n * n; ++i) {
      comb[i] = m[2 * n + i] * alpha[2] + beta[static_cast<size_t>(2 * n + i)];
    }
    Sinkhorn(comb, n, config.hc_sinkhorn_iters, config.hc_eps);
    Collapse(context, pre, streams + row * n * d, n, d, y + row * d);
  });
  return c;
}

void HcPost(const OpContext& context, const HcCoefficients& coefficients, const ModelConfig& config,
            const float* u, int64_t rows, float* streams) {
  const OperationTimer timer(context, &OperationCounts::hc_ns);
  const int64_t n = config.hc_mult;
  const int64_t d = config.hidden_size;
  context.pool.ParallelFor(rows, [&](int64_t row, int64_t) {
    const float* post = coefficients.post.data() + row * n;
    const float* comb = coefficients.comb.data() + row * n * n;
    float* x = streams + row * n * d;
    const std::vector<float> old(x, x + n * d);
    for (int64_t k = 0; k < n; ++k) {
      for (int64_t i = 0; i < d; ++i) {
        float sum = post[k] * u[row * d + i];
        for (int64_t j = 0; j < n; ++j)
          sum += comb[j * n + k] * old[static_cast<size_t>(j * d + i)];
        x[k * d + i] = sum;
      }
    }
    if (context.reference()) RoundBf16Row(x, n * d);
  });
}

void HcHead(const OpContext& context, const HyperConnectionWeights& weights,
            const ModelConfig& config, const float* streams, int64_t rows, float* y) {
  const int64_t n = config.hc_mult;
  const int64_t d = config.hidden_size;
  const float alpha = ExpandVector(weights.scale).front();
  const std::vector<float> beta = ExpandVector(weights.base);
  std::vector<float> pre = Mix(context, weights, config, streams, rows);
  context.pool.ParallelFor(rows, [&](int64_t row, int64_t) {
    float* p = pre.data() + row * n;
    for (int64_t j = 0; j < n; ++j) {
      p[j] =
          Sigmoid(p[j] * alpha + beta[static_cast<size_t>(j)]) + static_cast<float>(config.hc_eps);
    }
    Collapse(context, p, streams + row * n * d, n, d, y + row * d);
  });
}

}  // namespace dsv
