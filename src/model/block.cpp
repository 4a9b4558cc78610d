#include "model/block.h"

#include "kernels/scratch.h"
#include "model/hyper_connection.h"
#include "moe/experts.h"

namespace dsv {

void Block::Forward(const OpContext& context, const Batch& batch, LayerStates states,
                    const Observer& observe, float* streams, float* squares) const {
  const int64_t rows = batch.rows();
  const int64_t d = config_.hidden_size;
  const int64_t n = config_.hc_mult;
  const ScratchArray<float> x(context, rows * d);
  const ScratchArray<float> y(context, rows * d);

  const HcCoefficients attn = HcPre(context, weights_.hc_attn, config_, streams, rows, x.data(),
                                    {.squares = squares, .norm = &weights_.attn_norm});
  Observe(observe, "attn_norm", x.data(), rows, d);
  Observe(observe, "attn_comb", attn.comb.data(), rows, n * n);
  attention_.Forward(context, batch, states, x.data(), observe, y.data());
  HcPost(context, attn, config_, y.data(), rows, streams, squares);
  Observe(observe, "streams_mid", streams, rows, n * d);

  const HcCoefficients ffn = HcPre(context, weights_.hc_ffn, config_, streams, rows, x.data(),
                                   {.squares = squares, .norm = &weights_.ffn_norm});
  Moe(context, weights_.ffn, config_, x.data(), batch.tokens, observe, y.data());
  HcPost(context, ffn, config_, y.data(), rows, streams, squares);
  Observe(observe, "streams", streams, rows, n * d);
}

}  // namespace dsv
