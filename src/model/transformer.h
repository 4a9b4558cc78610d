// The model: one forward pass over a ragged batch, for prefill, decoding and scoring alike
// (design.md section 1, spec 4 and 5).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "cache/batch.h"
#include "checkpoint/config.h"
#include "checkpoint/weights.h"
#include "kernels/context.h"
#include "kernels/observer.h"
#include "model/block.h"
#include "model/mtp.h"

namespace dsv {

enum class Logits : uint8_t { kNone, kLast, kAll };

// New tokens of one session. Two works of a call must not share a session.
struct Work {
  SessionState* state = nullptr;
  std::span<const int32_t> tokens;  // not empty, every id in [0, V)
  Logits logits = Logits::kLast;
  Logits mtp_logits = Logits::kNone;  // needs a state made with `mtp`
};

// What Forward returns for one work; rows in token order.
struct WorkLogits {
  std::vector<float> logits;  // [rows asked for, V]
  // Row i belongs to position i and token i + 1 and predicts token i + 2, so the last token of the
  // session has none yet: a work of T tokens completes T rows, or T - 1 if it is the first.
  std::vector<float> mtp_logits;
};

// Called before each layer with its index; MTP is layer L.
using LayerObserver = std::function<Observer(int64_t layer)>;

class Transformer {
 public:
  // Touches no weight. The tables of hash routing are sound (CheckSelection).
  Transformer(ModelConfig config, ModelWeights weights);

  const ModelConfig& config() const { return parts_->config; }
  const ModelWeights& weights() const { return parts_->weights; }
  bool has_mtp() const { return parts_->mtp.has_value(); }

  // `held` counts the bytes of its blocks.
  SessionState NewState(Precision precision, bool mtp,
                        std::shared_ptr<BlockCount> held = nullptr) const;

  // The most that a pass of `rows` rows allocates while it runs, whatever the context; logits are
  // not counted.
  int64_t ScratchBytes(int64_t rows, int64_t threads) const;

  // Advances every session by its tokens. The caller has validated the works.
  std::vector<WorkLogits> Forward(const OpContext& context, std::span<const Work> works,
                                  const LayerObserver& observe = nullptr) const;

 private:
  // On the heap, so that blocks may point at config and weights while the Transformer moves.
  struct Parts {
    Parts(ModelConfig c, ModelWeights w);
    const ModelConfig config;
    const ModelWeights weights;
    const RopeTables rope;
    std::vector<Block> blocks;
    std::optional<Mtp> mtp;
  };

  // The streams of new rows, [rows, n, d], and the sums of their squares, [rows].
  void StartStreams(const OpContext& context, const std::vector<int32_t>& tokens, float* streams,
                    float* squares) const;
  std::vector<float> Embed(const OpContext& context, const std::vector<int32_t>& tokens) const;
  void ForwardMtp(const OpContext& context, std::span<const Work> works, const Batch& batch,
                  const float* streams, const LayerObserver& observe,
                  std::vector<WorkLogits>& results) const;
  std::vector<float> Head(const OpContext& context, const std::vector<float>& hidden) const;

  std::unique_ptr<const Parts> parts_;
};

}  // namespace dsv
