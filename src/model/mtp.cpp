#include "model/mtp.h"

#include "kernels/matmul.h"
#include "kernels/norm.h"
#include "kernels/quant.h"
#include "model/hyper_connection.h"

namespace dsv {

void Mtp::Combine(const OpContext& context, const float* embedding, int64_t rows,
                  float* streams) const {
  const int64_t n = config_.hc_mult;
  const int64_t d = config_.hidden_size;
  const auto size = static_cast<size_t>(rows * n * d);
  std::vector<float> e(embedding, embedding + rows * d);
  std::vector<float> projected_e(e.size());
  std::vector<float> projected_h(size);
  RmsNorm(context, e.data(), rows, weights_.enorm, config_.rms_norm_eps, e.data());
  QuantizedLinear(context, e.data(), rows, weights_.e_proj, e.data(), projected_e.data());
  RmsNorm(context, streams, rows * n, weights_.hnorm, config_.rms_norm_eps, streams);
  QuantizedLinear(context, streams, rows * n, weights_.h_proj, streams, projected_h.data());
  context.pool.ParallelFor(rows * n, [&](int64_t i, int64_t) {
    const float* from_e = projected_e.data() + i / n * d;
    const float* from_h = projected_h.data() + i * d;
    for (int64_t j = 0; j < d; ++j) streams[i * d + j] = from_e[j] + from_h[j];
    if (context.reference()) RoundBf16Row(streams + i * d, d);
  });
}

void Mtp::Collapse(const OpContext& context, const float* streams, int64_t rows, float* y) const {
  HcHead(context, weights_.hc_head, config_, streams, rows, y);
  RmsNorm(context, y, rows, weights_.norm, config_.rms_norm_eps, y);
}

}  // namespace dsv
