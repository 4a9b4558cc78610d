#include "model/mtp.h"

#include "kernels/for_rows.h"
#include "kernels/matmul.h"
#include "kernels/norm.h"
#include "kernels/scratch.h"
#include "model/hyper_connection.h"

namespace dsv {

void Mtp::Combine(const OpContext& context, float* embedding, int64_t rows, float* streams,
                  float* squares) const {
  const int64_t n = config_.hc_mult;
  const int64_t d = config_.hidden_size;
  const ScratchArray<float> from_e(context, rows * d);
  const ScratchArray<float> from_h(context, rows * n * d);
  RmsNorm(context, embedding, rows, weights_.enorm, config_.rms_norm_eps, embedding);
  QuantizedLinear(context, embedding, rows, weights_.e_proj, embedding, from_e.data());
  RmsNorm(context, streams, rows * n, weights_.hnorm, config_.rms_norm_eps, streams);
  QuantizedLinear(context, streams, rows * n, weights_.h_proj, streams, from_h.data());
  ForRows(context, rows, n * d, [&](int64_t row) {
    float* z = streams + row * n * d;
    for (int64_t j = 0; j < n; ++j) {
      const float* parts[] = {from_e.data() + row * d, from_h.data() + (row * n + j) * d};
      context.kernels.rows.sum_rows(parts, 2, d, context.reference(), z + j * d);
    }
    squares[row] = context.kernels.streams.sum_of_squares(z, d);
  });
}

void Mtp::Collapse(const OpContext& context, const float* streams, int64_t rows, float* y) const {
  HcHead(context, weights_.hc_head, config_, streams, rows, y, {.norm = &weights_.norm});
}

}  // namespace dsv
