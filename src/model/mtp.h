// The multi-token-prediction block (spec 5): from the streams of position i and token i + 1 to
// logits for token i + 2.
#pragma once

#include <cstdint>

#include "checkpoint/config.h"
#include "checkpoint/weights.h"
#include "kernels/context.h"
#include "model/block.h"

namespace dsv {

class Mtp {
 public:
  // All arguments must outlive the object.
  Mtp(const MtpWeights& weights, const ModelConfig& config, const RopeTables& rope)
      : weights_(weights), config_(config), block_(weights.layer, config, rope) {}

  const Block& block() const { return block_; }

  // Z of every row: streams [rows, n, d] of position i and the embedding [rows, d] of token i + 1,
  // in place on the streams; squares [rows] gets the sums of their squares. The embedding is
  // scratch.
  void Combine(const OpContext& context, float* embedding, int64_t rows, float* streams,
               float* squares) const;

  // The normed input of the shared head: y is [rows, d].
  void Collapse(const OpContext& context, const float* streams, int64_t rows, float* y) const;

 private:
  const MtpWeights& weights_;
  const ModelConfig& config_;
  Block block_;
};

}  // namespace dsv
