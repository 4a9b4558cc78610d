// One layer of the model (spec 4.2).
#pragma once

#include "attention/attention.h"
#include "cache/batch.h"
#include "checkpoint/config.h"
#include "checkpoint/weights.h"
#include "kernels/context.h"
#include "kernels/observer.h"

namespace dsv {

class Block {
 public:
  // All arguments must outlive the object.
  Block(const LayerWeights& weights, const ModelConfig& config, const RopeTables& rope)
      : weights_(weights), config_(config), attention_(weights.attn, weights.kind, config, rope) {}

  // streams is [rows, n, d], in place; squares [rows] has the sums of its squares, before and
  // after.
  void Forward(const OpContext& context, const Batch& batch, LayerStates states,
               const Observer& observe, float* streams, float* squares) const;

 private:
  const LayerWeights& weights_;
  const ModelConfig& config_;
  Attention attention_;
};

}  // namespace dsv
