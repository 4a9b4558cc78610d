#include "model/block.h"

#include <vector>

#include "kernels/norm.h"
#include "model/hyper_connection.h"
#include "moe/experts.h"

namespace dsv {

void Block::Forward(const OpContext& context, const Batch& batch, LayerStates states,
                    const Observer& observe, float* streams) const {
  const int64_t rows = batch.rows();
  const int64_t d = config_.hidden_size;
  const int64_t n = config_.hc_mult;
  const double eps = config_.rms_norm_eps;
  std::vector<float> x(static_cast<size_t>(rows * d));
  std::vector<float> y(x.size());

  const HcCoefficients attn = HcPre(context, weights_.hc_attn, config_, streams, rows, x.data());
  RmsNorm(context, x.data(), rows, weights_.attn_norm, eps, x.data());
  Observe(observe, "attn_norm", x.data(), rows, d);
  Observe(observe, "attn_comb", attn.comb.data(), rows, n * n);
  attention_.Forward(context, batch, states, x.data(), observe, y.data());
  HcPost(context, attn, config_, y.data(), rows, streams);
  Observe(observe, "streams_mid", streams, rows, n * d);

  const HcCoefficients ffn = HcPre(context, weights_.hc_ffn, config_, streams, rows, x.data());
  RmsNorm(context, x.data(), rows, weights_.ffn_norm, eps, x.data());
  Moe(context, weights_.ffn, config_, x.data(), batch.tokens, observe, y.data());
  HcPost(context, ffn, config_, y.data(), rows, streams);
  Observe(observe, "streams", streams, rows, n * d);
}

}  // namespace dsv
